-- Reading back what was stored, in a form that can be compared with what was sent. $1 is the venue, $2 the symbol.

-- name: trades
-- Executions.
select (extract(epoch from time) * 1000000)::bigint, price, size, side::int from v_trades
where venue = $1 and symbol = $2;

-- name: ticks
-- Best bid and ask, last price.
select (extract(epoch from time) * 1000000)::bigint, bid, bid_size, ask, ask_size, last, volume from v_ticks
where venue = $1 and symbol = $2;

-- name: books
-- Book messages; the levels as text, which keeps the digits that were sent.
select (extract(epoch from time) * 1000000)::bigint, seq, snapshot, ask_prices::text[], ask_sizes::text[],
       bid_prices::text[], bid_sizes::text[]
from v_books where venue = $1 and symbol = $2;

-- name: candles
-- Bars in their last state.
select (extract(epoch from time) * 1000000)::bigint, period, series, open, high, low, close, volume, quote_volume
from v_candles where venue = $1 and symbol = $2;

-- name: derivatives
-- Futures.
select (extract(epoch from time) * 1000000)::bigint, mark_price, index_price, funding_rate, open_interest
from v_derivatives where venue = $1 and symbol = $2;

-- name: rates
-- Values of the venue itself; there is no symbol.
select (extract(epoch from time) * 1000000)::bigint, name, value from v_rates where venue = $1 and $2 = '';

-- name: news
-- Headlines of the venue; there is no symbol.
select (extract(epoch from time) * 1000000)::bigint, source, title, link from v_news where venue = $1 and $2 = '';
