-- News: the headlines that venues publish, which belong to no instrument.

create table news (
  time        timestamptz not null,
  venue_id    smallint not null,
  news_key    bigint not null,
  source      text not null,
  title       text not null,
  link        text,
  received_at timestamptz not null
);
comment on table news is 'Headlines as the venue''s feeds tell them, each as it was first told.';
comment on column news.time is 'When it was published, by the venue''s clock.';
comment on column news.venue_id is 'The venue.';
comment on column news.news_key is 'A number made of the feed and the item''s own identity; the same item always has the same.';
comment on column news.source is 'Our name of the feed, as configured, such as ru.';
comment on column news.title is 'The headline.';
comment on column news.link is 'Where the whole text is; null where the feed does not say.';
comment on column news.received_at is 'When we received it, by our clock.';
create unique index news_key on news (venue_id, time, news_key);

create view v_news as
select v.code as venue, n.source, n.time, n.title, n.link, n.received_at, n.news_key
from news n join venues v using (venue_id);
comment on view v_news is 'Headlines with the venue.';

do $$
declare
  place text;
begin
  select extnamespace::regnamespace::text into place from pg_extension where extname = 'timescaledb';
  if found then
    execute format(
      'select %s.create_hypertable(%L, %L, chunk_time_interval => %L::interval, create_default_indexes => false)',
      place, 'news', 'time', interval '90 days');
  end if;
end $$;
