-- The columns that cryptofeed's TradePostgres writes, in its order. No index at all: the quickest that it can be.
create table trades (
  id         bigserial,
  timestamp  timestamp,
  receipt    timestamp,
  exchange   varchar(32),
  symbol     varchar(32),
  side       varchar(8),
  amount     numeric,
  price      numeric,
  trade_id   varchar(64),
  order_type varchar(32)
);
