-- The questions of `collector.data.Market`. Where a span is asked for, null means from the beginning and up to now.

-- name: instruments
-- Instruments of venue $1 (null: all), as the venues last described them.
select venue, symbol, common_name, base, quote, kind, price_step, size_step, status, name, expiry, first_seen, last_seen
from v_instruments where $1::text is null or venue = $1::text
order by venue collate "C", symbol collate "C";

-- name: instrument_at
-- What venue $1 said of instrument $2 at $3.
select valid_from, valid_to, base, quote, kind, price_step, size_step, status, name, expiry
from instrument_at($1, $2, coalesce($3::timestamptz, now()));

-- name: trades
-- Trades of instrument $2 at venue $1 from $3 to $4.
select time, price, size, side, trade_id, trade_key, received_at
from trades
where instrument_id = (select instrument_number($1, $2)) and time >= coalesce($3::timestamptz, '-infinity')
  and time < coalesce($4::timestamptz, now())
order by time, trade_key;

-- name: ticks
-- Ticks of instrument $2 at venue $1 from $3 to $4.
select time, bid, bid_size, ask, ask_size, ask - bid as spread, last, last_size, volume, received_at
from ticks
where instrument_id = (select instrument_number($1, $2)) and time >= coalesce($3::timestamptz, '-infinity')
  and time < coalesce($4::timestamptz, now())
order by time, tick_key;

-- name: candles
-- Candles of the venue itself: $5 the period in seconds, $6 the series.
select time, open, high, low, close, volume, quote_volume, trades, closed, received_at
from candles
where instrument_id = (select instrument_number($1, $2)) and time >= coalesce($3::timestamptz, '-infinity')
  and time < coalesce($4::timestamptz, now()) and period = $5::int and series = $6::text
order by time;

-- name: ohlcv
-- Bars made of trades: $5 their length, $6 whether those without trades are wanted.
select time, open, high, low, close, volume, quote_volume, trades, gap, partial
from ohlcv($1, $2, $5::text::interval,
           coalesce($3::timestamptz, (select bar_opening($5::text::interval, min(time)) from trades
                                      where instrument_id = (select instrument_number($1, $2)))),
           coalesce($4::timestamptz, now()), $6::boolean);

-- name: spread
-- The best bid and ask every $5, as they were at each moment.
select time, bid, ask, spread, mid, relative_spread, quoted_at, gap
from spread_series($1, $2, $5::text::interval,
                   coalesce($3::timestamptz, (select bar_opening($5::text::interval, min(time)) + $5::text::interval
                                              from ticks where instrument_id = (select instrument_number($1, $2)))),
                   coalesce($4::timestamptz, now()));

-- name: trades_with_quotes
-- Trades, each with the quote that was valid when it happened.
select time, price, size, side, bid, bid_size, ask, ask_size, mid, quoted_at, trade_id, trade_key
from trades_with_quotes($1, $2, coalesce($3::timestamptz, '-infinity'), coalesce($4::timestamptz, now()));

-- name: book_at
-- The order book of instrument $2 at venue $1 at the moment $3, $4 levels deep.
select level, bid_price, bid_size, ask_price, ask_size, as_of, age, covered
from book_at($1, $2, coalesce($3::timestamptz, now()), $4::int);

-- name: vwap
-- The average price of the trades of a span, weighted by size.
select vwap($1, $2, coalesce($3::timestamptz, '-infinity'), coalesce($4::timestamptz, now())) as vwap;

-- name: last_prices
-- The last trade of every instrument.
select venue, symbol, common_name, time, price, size, side from last_prices();

-- name: coverage
-- Which time is covered: $1 venue, $2 symbol, $3 stream (each null: all), $4 and $5 the span.
select venue, symbol, stream, state, greatest(from_time, coalesce($4::timestamptz, '-infinity')) as from_time,
       least(to_time, coalesce($5::timestamptz, 'infinity')) as to_time
from coverage
where ($1::text is null or venue = $1) and ($2::text is null or symbol = $2) and ($3::text is null or stream = $3)
  and to_time > coalesce($4::timestamptz, '-infinity') and from_time < coalesce($5::timestamptz, 'infinity')
order by venue collate "C", symbol collate "C", stream, from_time;

-- name: gaps
-- What was not recorded: $1 venue, $2 symbol, $3 stream (each null: all), $4 and $5 the span.
select venue, symbol, stream, from_time, to_time, cause, reason, state, filled_rows
from v_gaps
where ($1::text is null or venue = $1) and ($2::text is null or symbol = $2) and ($3::text is null or stream = $3)
  and coalesce(to_time, 'infinity') > coalesce($4::timestamptz, '-infinity')
  and from_time < coalesce($5::timestamptz, 'infinity')
order by from_time, venue collate "C", symbol collate "C", stream;

-- name: pictured
-- What a chart has to know of instrument $2 at venue $1: names, tick size, its first and last trade from $3 to $4.
select i.common_name, i.quote, i.price_step,
       (select min(time) from trades t where t.instrument_id = i.instrument_id
          and time >= coalesce($3::timestamptz, '-infinity') and time < coalesce($4::timestamptz, 'infinity')) as first,
       (select max(time) from trades t where t.instrument_id = i.instrument_id
          and time >= coalesce($3::timestamptz, '-infinity') and time < coalesce($4::timestamptz, 'infinity')) as last,
       (select scale(price) from trades t where t.instrument_id = i.instrument_id order by time desc limit 1) as scale
from v_instruments i where i.instrument_id = (select instrument_number($1, $2));

-- name: candled
-- The venue's own candles of instrument $2 at venue $1 from $3 to $4, by series and period, the likeliest series first.
select series, period, min(time) as first, max(time) as last
from candles
where instrument_id = (select instrument_number($1, $2)) and time >= coalesce($3::timestamptz, '-infinity')
  and time < coalesce($4::timestamptz, 'infinity')
group by series, period order by series <> 'trade', series collate "C", period;

-- name: seconds_of
-- How long a length of time is, in seconds; a month counts 30 days.
select extract(epoch from $1::text::interval)::float8 as seconds;
