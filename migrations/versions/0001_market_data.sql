-- The tables of market data and the books kept about them; the same names and keys on plain PostgreSQL and on
-- either edition of TimescaleDB.
--
-- Facts carry both clocks: `time` is the venue's, `received_at` ours. `numeric` without precision keeps every digit.
-- One unique index a table does both jobs: writing twice changes nothing, and an instrument is read by time.

create table venues (
  venue_id smallint generated always as identity primary key,
  code     text not null unique,
  name     text
);
comment on table venues is 'Where data comes from.';
comment on column venues.venue_id is 'Our number of the venue.';
comment on column venues.code is 'Its name in the configuration, such as fmfw.';
comment on column venues.name is 'Its name for people.';

create table instruments (
  instrument_id int generated always as identity primary key,
  venue_id      smallint not null references venues,
  symbol        text not null,
  base          text,
  quote         text,
  kind          text,
  price_step    numeric,
  size_step     numeric,
  status        text,
  first_seen    timestamptz not null default now(),
  last_seen     timestamptz,
  updated_at    timestamptz,
  details       jsonb not null default '{}',
  unique (venue_id, symbol)
);
comment on table instruments is 'Symbols at venues, with what the venue last said of them.';
comment on column instruments.instrument_id is 'Our number of the instrument; the tables of facts use it.';
comment on column instruments.venue_id is 'The venue.';
comment on column instruments.symbol is 'The venue''s own spelling.';
comment on column instruments.base is 'What is traded, where the venue says it.';
comment on column instruments.quote is 'What it is paid in, where the venue says it.';
comment on column instruments.kind is 'What sort of instrument it is: spot, perpetual, future, ..';
comment on column instruments.price_step is 'The smallest change of a price, in units of quote.';
comment on column instruments.size_step is 'The smallest change of a size, in units of base or in contracts.';
comment on column instruments.status is 'Whether it is traded, in the venue''s words.';
comment on column instruments.first_seen is 'When we first met it, by our clock.';
comment on column instruments.last_seen is 'When the venue last listed it, by our clock.';
comment on column instruments.updated_at is 'When what the venue says of it last changed, by our clock.';
comment on column instruments.details is 'The venue''s own description, whole.';

create table trades (
  time          timestamptz not null,
  instrument_id int not null,
  trade_key     bigint not null,
  trade_id      text,
  price         numeric not null,
  size          numeric not null,
  side          smallint check (side in (-1, 1)),
  received_at   timestamptz not null
);
comment on table trades is 'Executions.';
comment on column trades.time is 'When it was executed, by the venue''s clock.';
comment on column trades.instrument_id is 'The instrument.';
comment on column trades.trade_key is 'The venue''s id where it can be trusted, else a 64-bit hash of the content.';
comment on column trades.trade_id is 'The venue''s id as it came; null where what the venue sends is not an id.';
comment on column trades.price is 'Price, in units of quote.';
comment on column trades.size is 'Size, in units of base or in contracts.';
comment on column trades.side is 'The aggressor: 1 the buyer, -1 the seller, null unknown.';
comment on column trades.received_at is 'When we received it, by our clock.';
create unique index trades_key on trades (instrument_id, time, trade_key);

create table ticks (
  time          timestamptz not null,
  instrument_id int not null,
  tick_key      bigint not null,
  bid           numeric,
  bid_size      numeric,
  ask           numeric,
  ask_size      numeric,
  last          numeric,
  last_size     numeric,
  volume        numeric,
  received_at   timestamptz not null
);
comment on table ticks is 'Best bid and ask, and the last price, as tickers and tops of books tell them.';
comment on column ticks.time is 'The moment it is true for, by the venue''s clock.';
comment on column ticks.instrument_id is 'The instrument.';
comment on column ticks.tick_key is 'A 64-bit hash of what the venue sent: ticks carry no id of their own.';
comment on column ticks.bid is 'The best price bid, in units of quote.';
comment on column ticks.bid_size is 'The size at the best bid, in units of base or in contracts.';
comment on column ticks.ask is 'The best price asked, in units of quote.';
comment on column ticks.ask_size is 'The size at the best ask, in units of base or in contracts.';
comment on column ticks.last is 'The last traded price, in units of quote.';
comment on column ticks.last_size is 'The last traded size, in units of base or in contracts.';
comment on column ticks.volume is 'The volume over the venue''s own window, mostly 24 hours, in units of base or in contracts.';
comment on column ticks.received_at is 'When we received it, by our clock.';
create unique index ticks_key on ticks (instrument_id, time, tick_key);

create table books (
  time          timestamptz not null,
  instrument_id int not null,
  seq           bigint not null,
  snapshot      boolean not null,
  bid_prices    numeric[] not null,
  bid_sizes     numeric[] not null,
  ask_prices    numeric[] not null,
  ask_sizes     numeric[] not null,
  received_at   timestamptz not null
);
comment on table books is 'Order books: whole ones, and the changed levels in between.';
comment on column books.time is 'The moment it is true for, by the venue''s clock.';
comment on column books.instrument_id is 'The instrument.';
comment on column books.seq is 'The venue''s sequence number.';
comment on column books.snapshot is 'True: the whole book. False: changed levels, where size 0 removes a level.';
comment on column books.bid_prices is 'Prices bid, in units of quote; price n belongs to size n.';
comment on column books.bid_sizes is 'Sizes bid, in units of base or in contracts.';
comment on column books.ask_prices is 'Prices asked, in units of quote; price n belongs to size n.';
comment on column books.ask_sizes is 'Sizes asked, in units of base or in contracts.';
comment on column books.received_at is 'When we received it, by our clock.';
create unique index books_key on books (instrument_id, time, seq, snapshot);
create index books_snapshots on books (instrument_id, time) where snapshot;

create table candles (
  time          timestamptz not null,
  instrument_id int not null,
  period        int not null check (period > 0),
  series        text not null default 'trade',
  open          numeric not null,
  high          numeric not null,
  low           numeric not null,
  close         numeric not null,
  volume        numeric,
  quote_volume  numeric,
  trades        int,
  closed        boolean not null,
  received_at   timestamptz not null
);
comment on table candles is 'Open, high, low, close and volume over periods, as the venue makes them.';
comment on column candles.time is 'When the period opens, by the venue''s clock.';
comment on column candles.instrument_id is 'The instrument.';
comment on column candles.period is 'Length in seconds; 2592000 stands for a calendar month, 7776000 for three.';
comment on column candles.series is 'What is summed up: trade, mark, index, premium, open_interest, converted:USDT, ..';
comment on column candles.open is 'The first price, in units of quote.';
comment on column candles.high is 'The highest price, in units of quote.';
comment on column candles.low is 'The lowest price, in units of quote.';
comment on column candles.close is 'The last price, in units of quote.';
comment on column candles.volume is 'Traded size, in units of base or in contracts.';
comment on column candles.quote_volume is 'Traded value, in units of quote.';
comment on column candles.trades is 'How many trades there were.';
comment on column candles.closed is 'True only when the venue''s rules say that the candle cannot change any more.';
comment on column candles.received_at is 'When we received this state of it, by our clock.';
create unique index candles_key on candles (instrument_id, series, period, time);

create table derivatives (
  time                    timestamptz not null,
  instrument_id           int not null,
  mark_price              numeric,
  index_price             numeric,
  funding_rate            numeric,
  next_funding_time       timestamptz,
  indicative_funding_rate numeric,
  premium_index           numeric,
  avg_premium_index       numeric,
  interest_rate           numeric,
  open_interest           numeric,
  settlement_price        numeric,
  expiry                  timestamptz,
  received_at             timestamptz not null
);
comment on table derivatives is 'The state of futures and perpetuals.';
comment on column derivatives.time is 'The moment it is true for, by the venue''s clock.';
comment on column derivatives.instrument_id is 'The instrument.';
comment on column derivatives.mark_price is 'The price that positions are valued at, in units of quote.';
comment on column derivatives.index_price is 'The price of what underlies it, in units of quote.';
comment on column derivatives.funding_rate is 'The funding rate in force, as a fraction a funding period (0.0001 is 0.01 %).';
comment on column derivatives.next_funding_time is 'When funding is paid next.';
comment on column derivatives.indicative_funding_rate is 'The next funding rate as it stands now, as a fraction.';
comment on column derivatives.premium_index is 'The premium over the index, as a fraction.';
comment on column derivatives.avg_premium_index is 'The premium''s average over the funding period, as a fraction.';
comment on column derivatives.interest_rate is 'The interest part of funding, as a fraction.';
comment on column derivatives.open_interest is 'Open positions, in units of base or in contracts.';
comment on column derivatives.settlement_price is 'The price that it is settled at, in units of quote.';
comment on column derivatives.expiry is 'When it expires; null for perpetuals.';
comment on column derivatives.received_at is 'When we received it, by our clock.';
create unique index derivatives_key on derivatives (instrument_id, time);

create table rates (
  time        timestamptz not null,
  venue_id    smallint not null,
  name        text not null,
  value       numeric not null,
  received_at timestamptz not null
);
comment on table rates is 'Values that belong to a venue and not to an instrument: indexes, price rates, exchange rates.';
comment on column rates.time is 'The moment it is true for, by the venue''s clock.';
comment on column rates.venue_id is 'The venue.';
comment on column rates.name is 'The venue''s name of it, such as BTC/USDT.';
comment on column rates.value is 'The value.';
comment on column rates.received_at is 'When we received it, by our clock.';
create unique index rates_key on rates (venue_id, name, time);

create table sessions (
  session_id bigint primary key,
  venue_id   smallint not null references venues,
  worker     text not null,
  url        text,
  opened_at  timestamptz not null,
  closed_at  timestamptz,
  reason     text,
  frames     bigint not null default 0,
  items      bigint not null default 0,
  details    jsonb not null default '{}'
);
comment on table sessions is 'Connections, each from its opening to its close.';
comment on column sessions.session_id is 'Microseconds from 1970 to the opening, by our clock.';
comment on column sessions.venue_id is 'The venue.';
comment on column sessions.worker is 'The worker that held it.';
comment on column sessions.url is 'The address it went to, without secrets.';
comment on column sessions.opened_at is 'When it was opened, by our clock.';
comment on column sessions.closed_at is 'When it was closed; null while it lasts, and for ever where we were killed.';
comment on column sessions.reason is 'Why it was closed.';
comment on column sessions.frames is 'Frames received.';
comment on column sessions.items is 'Items that the frames held.';
comment on column sessions.details is 'What else is known of it.';
create index sessions_opened on sessions (venue_id, opened_at);

create table gaps (
  gap_id        bigint generated always as identity primary key,
  instrument_id int not null references instruments,
  stream        text not null,
  from_time     timestamptz not null,
  to_time       timestamptz,
  from_seq      bigint,
  to_seq        bigint,
  cause         text not null,
  reason        text,
  state         text not null default 'open' check (state in ('open', 'repaired', 'unrecoverable')),
  found_at      timestamptz not null default now(),
  filled_at     timestamptz,
  filled_rows   bigint,
  unique (instrument_id, stream, from_time, cause)
);
comment on table gaps is 'What was not recorded, and whether it was got back.';
comment on column gaps.gap_id is 'Our number of the gap.';
comment on column gaps.instrument_id is 'The instrument.';
comment on column gaps.stream is 'The stream: trades, ticks, books, candles, derivatives, rates.';
comment on column gaps.from_time is 'From when on something is missing, by the venue''s clock as well as it is known.';
comment on column gaps.to_time is 'Until when; null while it lasts.';
comment on column gaps.from_seq is 'The last sequence number before it, where the stream has them.';
comment on column gaps.to_seq is 'The first sequence number after it.';
comment on column gaps.cause is 'Its kind, such as disconnect or sequence.';
comment on column gaps.reason is 'The details of the cause, or why it cannot be repaired.';
comment on column gaps.state is 'open, repaired (got back from the venue''s history), unrecoverable (there is none).';
comment on column gaps.found_at is 'When we noticed it, by our clock.';
comment on column gaps.filled_at is 'When it was repaired, by our clock.';
comment on column gaps.filled_rows is 'How many rows the repair found.';
create index gaps_open on gaps (instrument_id, stream) where state = 'open';

create table quarantine (
  quarantine_id    bigint generated always as identity primary key,
  received_at      timestamptz not null default now(),
  venue_id         smallint references venues,
  stream           text,
  kind             text,
  error            text not null,
  items            int not null default 1 check (items >= 0),
  payload          bytea not null,
  segment          bigint,
  byte_offset      bigint,
  resolved_at      timestamptz,
  discarded_reason text
);
comment on table quarantine is 'What could not be understood or stored, as it came.';
comment on column quarantine.quarantine_id is 'Our number of it.';
comment on column quarantine.received_at is 'When we received it, by our clock.';
comment on column quarantine.venue_id is 'The venue.';
comment on column quarantine.stream is 'The stream, where that much is known.';
comment on column quarantine.kind is 'frame: not understood. row: understood, and refused by the database.';
comment on column quarantine.error is 'What is wrong with it.';
comment on column quarantine.items is 'How many items it holds.';
comment on column quarantine.payload is 'Its bytes.';
comment on column quarantine.segment is 'The journal''s segment that it was read from or shortly before.';
comment on column quarantine.byte_offset is 'The place in that segment.';
comment on column quarantine.resolved_at is 'When it was parsed and stored after all; null while it waits.';
comment on column quarantine.discarded_reason is 'Why somebody decided that it is not worth storing; null while nobody did.';
create index quarantine_waiting on quarantine (received_at) where resolved_at is null and discarded_reason is null;

create table journal_position (
  journal     text primary key,
  segment     bigint not null,
  byte_offset bigint not null,
  updated_at  timestamptz not null default now()
);
comment on table journal_position is 'How far the journal is in the tables; written in the transaction of the rows.';
comment on column journal_position.journal is 'The journal''s name.';
comment on column journal_position.segment is 'The segment to go on with.';
comment on column journal_position.byte_offset is 'The place in that segment to go on from.';
comment on column journal_position.updated_at is 'When it last moved, by the database''s clock.';

create table journal_counts (
  journal     text not null,
  segment     bigint not null,
  table_name  text not null,
  items       bigint not null,
  stored      bigint not null,
  duplicates  bigint not null,
  quarantined bigint not null,
  primary key (journal, segment, table_name),
  constraint nothing_is_lost check (items = stored + duplicates + quarantined),
  constraint counts_are_counts check (stored >= 0 and duplicates >= 0 and quarantined >= 0)
);
comment on table journal_counts is 'What became of every item that was received: stored, there already, or quarantined.';
comment on column journal_counts.journal is 'The journal''s name.';
comment on column journal_counts.segment is 'The segment that the items were read from.';
comment on column journal_counts.table_name is 'The table that the items belong to.';
comment on column journal_counts.items is 'Items received.';
comment on column journal_counts.stored is 'Items that became rows, or changed one.';
comment on column journal_counts.duplicates is 'Items that were there already.';
comment on column journal_counts.quarantined is 'Items in quarantine.';

-- The same tables for people: symbols instead of numbers.

create view v_trades as
select v.code as venue, i.symbol, t.time, t.price, t.size, t.side,
       case t.side when 1 then 'buy' when -1 then 'sell' end as side_text, t.trade_id, t.trade_key, t.received_at
from trades t join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_trades is 'Executions with venue and symbol; side_text is the aggressor, buy or sell.';

create view v_ticks as
select v.code as venue, i.symbol, t.time, t.bid, t.bid_size, t.ask, t.ask_size, t.ask - t.bid as spread, t.last,
       t.last_size, t.volume, t.received_at
from ticks t join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_ticks is 'Best bid and ask with venue and symbol; spread is ask less bid.';

create view v_books as
select v.code as venue, i.symbol, b.time, b.seq, b.snapshot, b.bid_prices, b.bid_sizes, b.ask_prices, b.ask_sizes,
       b.received_at
from books b join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_books is 'Order books with venue and symbol.';

create view v_candles as
select v.code as venue, i.symbol, c.time, c.period,
       case c.period when 2592000 then interval '1 month' when 7776000 then interval '3 months'
            else make_interval(secs => c.period) end as interval,
       c.series, c.open, c.high, c.low, c.close, c.volume, c.quote_volume, c.trades, c.closed, c.received_at
from candles c join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_candles is 'Candles with venue and symbol; interval is the period as a length of time.';

create view v_derivatives as
select v.code as venue, i.symbol, d.time, d.mark_price, d.index_price, d.funding_rate, d.next_funding_time,
       d.indicative_funding_rate, d.premium_index, d.avg_premium_index, d.interest_rate, d.open_interest,
       d.settlement_price, d.expiry, d.received_at
from derivatives d join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_derivatives is 'Futures and perpetuals with venue and symbol.';

create view v_rates as
select v.code as venue, r.name, r.time, r.value, r.received_at
from rates r join venues v using (venue_id);
comment on view v_rates is 'Indexes and exchange rates with the venue.';

create view v_gaps as
select v.code as venue, i.symbol, g.stream, g.from_time, g.to_time, g.to_time - g.from_time as duration, g.from_seq,
       g.to_seq, g.cause, g.reason, g.state, g.found_at, g.filled_at, g.filled_rows, g.gap_id
from gaps g join instruments i using (instrument_id) join venues v using (venue_id);
comment on view v_gaps is 'What was not recorded, with venue and symbol.';

create view v_sessions as
select v.code as venue, s.worker, s.url, s.opened_at, s.closed_at, s.closed_at - s.opened_at as duration, s.reason,
       s.frames, s.items, s.details, s.session_id
from sessions s join venues v using (venue_id);
comment on view v_sessions is 'Connections with the venue.';

create view v_quarantine as
select v.code as venue, q.stream, q.received_at, q.kind, q.error, q.items, encode(q.payload, 'escape') as text,
       q.segment, q.byte_offset, q.resolved_at, q.discarded_reason, q.quarantine_id
from quarantine q left join venues v using (venue_id);
comment on view v_quarantine is 'What could not be understood, with the venue; text shows the payload, odd bytes escaped.';

-- TimescaleDB where the server has it. Creating the extension ends the session where the library is not preloaded,
-- which its settings tell; a role without the right to create it gets plain tables.
do $$
declare
  place text;
  facts text;
  chunk interval;
begin
  if exists (select from pg_available_extensions where name = 'timescaledb')
     and current_setting('timescaledb.max_background_workers', true) is not null then
    begin
      perform set_config('client_min_messages', 'warning', true);  -- it greets at length
      create extension if not exists timescaledb;
    exception when insufficient_privilege then
      perform set_config('client_min_messages', 'notice', true);
      raise notice 'TimescaleDB is here, but this role may not switch it on: the tables are plain ones';
    end;
    perform set_config('client_min_messages', 'notice', true);
  end if;

  select extnamespace::regnamespace::text into place from pg_extension where extname = 'timescaledb';
  if found then
    for facts, chunk in values
      ('trades', interval '1 day'), ('ticks', interval '1 day'), ('books', interval '6 hours'),
      ('candles', interval '90 days'), ('derivatives', interval '7 days'), ('rates', interval '7 days')
    loop
      execute format(
        'select %s.create_hypertable(%L, %L, chunk_time_interval => %L::interval, create_default_indexes => false)',
        place, facts, 'time', chunk);
    end loop;
  end if;
end $$;
