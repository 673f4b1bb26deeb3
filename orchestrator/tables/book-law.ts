/**
 * What the database itself demands of the book: the lines of a posting are written first, the posting
 * last, and it is refused unless they add up to zero in each currency. Lines without their posting are
 * refused at commit, by a foreign key that is checked then; a posting that stands gets no line more.
 * Balances are added up by the database, so that no writer can leave them out.
 */
import type { SqlDialect } from "./dialect.ts";

export function bookLaw({ name }: SqlDialect): string {
  return name === "sqlite" ? SQLITE_LAW : POSTGRES_LAW;
}

/** SQLite changes no foreign key of a table, so that the lines move to a table made anew. */
const SQLITE_LAW = `
alter table entries rename to former_entries;
create table entries (
  posting text not null references postings (id) deferrable initially deferred,
  account text not null,
  currency text not null,
  amount integer not null check (amount <> 0),
  primary key (posting, account, currency)
) strict, without rowid;
insert into entries select posting, account, currency, amount from former_entries;
drop table former_entries;
create index entries_account on entries (account, currency);
create trigger entries_stay before update on entries
  begin select raise(abort, 'postings stay'); end;
create trigger entries_remain before delete on entries
  begin select raise(abort, 'postings stay'); end;
create trigger entries_first before insert on entries
  when exists (select 1 from postings where id = new.posting)
  begin select raise(abort, 'a posting that stands gets no line more'); end;
create trigger postings_balance before insert on postings
  when exists (select 1 from entries where posting = new.id
    group by currency having sum(amount) <> 0)
  begin select raise(abort, 'a posting adds up to zero in each currency'); end;
create trigger postings_count after insert on postings
  begin
    insert into balances (account, currency, amount)
      select account, currency, amount from entries where posting = new.id
      on conflict (account, currency) do update set amount = amount + excluded.amount;
  end;
`;

const POSTGRES_LAW = `
alter table entries alter constraint entries_posting_fkey deferrable initially deferred;
create function entries_first() returns trigger language plpgsql as $$ begin
  if exists (select 1 from postings where id = new.posting) then
    raise exception 'a posting that stands gets no line more';
  end if;
  return new;
end $$;
create trigger entries_first before insert on entries
  for each row execute function entries_first();
create function postings_balance() returns trigger language plpgsql as $$ begin
  if exists (select 1 from entries where posting = new.id
    group by currency having sum(amount) <> 0) then
    raise exception 'a posting adds up to zero in each currency';
  end if;
  return new;
end $$;
create trigger postings_balance before insert on postings
  for each row execute function postings_balance();
create function postings_count() returns trigger language plpgsql as $$ begin
  insert into balances (account, currency, amount)
    select account, currency, amount from entries where posting = new.id
    on conflict (account, currency) do update set amount = balances.amount + excluded.amount;
  return null;
end $$;
create trigger postings_count after insert on postings
  for each row execute function postings_count();
`;
