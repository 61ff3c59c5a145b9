import { Random } from './random.ts';
import { message, rank, word } from './text.ts';

/** What the data of the usual database take in a dump. */
export const GIGABYTE = 1e9;

/**
 * A database like those of the people who use Cofre: half of it one table of messages, then JSON, numbers, people, and
 * many small tables. The same bytes for the same size, whenever and wherever it is made.
 */
interface Table {
  readonly name: string;
  readonly columns: string;
  /** Of the whole, in hundredths. */
  readonly share: number;
  readonly row: (random: Random, id: number) => readonly (string | number)[];
  /** Run when the data are in. */
  readonly after: string;
}

const SMALL_TABLES = 400;
const SMALL_SHARE = 5;

const ids = new Random(7);
/** Who writes: a few much, many little. */
const PEOPLE = Array.from({ length: 40_000 }, () => ids.uuid());
/** About a dozen events each, near each other. */
const SESSIONS = Array.from({ length: 200_000 }, () => ids.hex(32));

const LARGE_TABLES: readonly Table[] = [
  {
    name: 'messages',
    columns:
      'id bigint, conversation_id int, sender uuid, sent_at timestamptz, channel text, body text, attributes jsonb',
    share: 50,
    row: (random, id) => [
      id,
      Math.floor(id / 8) + random.below(50),
      PEOPLE[rank(random, PEOPLE.length)] ?? '',
      instant(id * 7 + random.below(5)),
      random.pick(['whatsapp', 'whatsapp', 'email', 'chat', 'telefone']),
      message(random),
      JSON.stringify({
        ip: `10.${random.below(4)}.${random.below(256)}.${random.below(256)}`,
        read: random.below(3) > 0,
        tags: [word(random), word(random)],
      }),
    ],
    after: `alter table messages add primary key (id);
      create index on messages (conversation_id); create index on messages (sent_at);`,
  },
  {
    name: 'events',
    columns: 'id bigint, at timestamptz, kind text, payload jsonb',
    share: 20,
    row: (random, id) => [
      id,
      instant(id * 3 + random.below(3)),
      random.pick(['login', 'order.created', 'order.paid', 'stock.moved', 'invoice.issued', 'note.added']),
      JSON.stringify({
        session: SESSIONS[(Math.floor(id / 12) + random.below(40)) % SESSIONS.length] ?? '',
        actor: { id: random.below(40_000), role: random.pick(['atendente', 'gerente', 'cliente', 'sistema']) },
        items: Array.from({ length: random.below(4) }, () => ({
          sku: `P${random.below(5_000)}`,
          quantity: random.below(20) + 1,
          price: random.below(100_000) / 100,
        })),
        note: word(random),
      }),
    ],
    after: 'alter table events add primary key (id); create index on events (kind, at);',
  },
  {
    name: 'ledger',
    columns:
      'id bigint, account_id int, booked_on date, amount numeric(14,2), tax numeric(14,4), quantity int, balance numeric(16,2), document text',
    share: 20,
    row: (random, id) => {
      const cents = random.below(5_000_000);
      return [
        id,
        random.below(60_000),
        instant(id * 11).slice(0, 10),
        (cents / 100).toFixed(2),
        (cents * 0.0018).toFixed(4),
        random.below(500),
        ((random.below(2_000_000_000) - 1_000_000_000) / 100).toFixed(2),
        `NF-${String(id).padStart(9, '0')}`,
      ];
    },
    after: 'alter table ledger add primary key (id); create index on ledger (account_id, booked_on);',
  },
  {
    name: 'customers',
    columns: 'id int, name text, email text, document text, password text, created_at timestamptz',
    share: 5,
    row: (random, id) => {
      const name = `${word(random)} ${word(random)} ${word(random)}`;
      return [
        id,
        name,
        `${name.replaceAll(' ', '.')}${id}@example.com`,
        String(random.below(99_999_999)).padStart(11, '0'),
        `$2b$12$${Buffer.from(random.hex(80), 'hex').toString('base64').slice(0, 53)}`,
        instant(id * 97),
      ];
    },
    after: 'alter table customers add primary key (id); create unique index on customers (email);',
  },
];

const SMALL_COLUMNS = 'id int, code text, name text, price numeric(10,2), active boolean';

function smallTable(number: number): Table {
  const name = `list_${String(number).padStart(4, '0')}`;
  return {
    name,
    columns: SMALL_COLUMNS,
    share: SMALL_SHARE / SMALL_TABLES,
    row: (random, id) => [
      id,
      `C${random.hex(6)}`,
      `${word(random)} ${word(random)}`,
      (random.below(1_000_000) / 100).toFixed(2),
      random.below(4) === 0 ? 'f' : 't',
    ],
    after: `alter table ${name} add primary key (id);`,
  };
}

/** SQL for psql that makes and fills the tables; `rawBytes` is about what their data take in a dump. */
export function* databaseScript(rawBytes: number): Generator<string> {
  const tables = [...LARGE_TABLES, ...Array.from({ length: SMALL_TABLES }, (_, index) => smallTable(index + 1))];
  for (const [index, table] of tables.entries()) yield* tableScript(table, index + 1, (rawBytes * table.share) / 100);
}

/** Makes a database of `databaseScript` several times as large, by copies of its large tables. */
export function* copiesOfLargeTables(times: number): Generator<string> {
  for (let copy = 2; copy <= times; copy += 1) {
    for (const { name } of LARGE_TABLES) yield `create table ${name}_${copy} as table ${name};\n`;
  }
}

function* tableScript(table: Table, seed: number, bytes: number): Generator<string> {
  yield `create table ${table.name} (${table.columns});\ncopy ${table.name} from stdin;\n`;
  yield* rows(table, bytes, new Random(seed));
  yield `\\.\n${table.after}\n`;
}

/** Tables of a few kilobytes each. */
export function* manyTables(count: number): Generator<string> {
  for (let number = 1; number <= count; number += 1) yield* tableScript(smallTable(number), number, 8_000);
}

/** Large objects of 100 to 8,100 bytes, which compress as poorly as pictures do. */
export function* largeObjects(count: number): Generator<string> {
  yield `create table pictures (id int primary key, name text, content oid);
    insert into pictures select n, 'picture ' || n, lo_from_bytea(100000 + n, (
      select string_agg(decode(md5(n || ' ' || part), 'hex'), '') from generate_series(0, n * 7919 % 500) part
    )) from generate_series(1, ${count}) n;`;
}

const CHUNK = 64 * 1024;

function* rows(table: Table, bytes: number, random: Random): Generator<string> {
  let chunk = '';
  let sent = 0;
  for (let id = 1; sent + chunk.length < bytes; id += 1) {
    chunk += `${table.row(random, id).join('\t')}\n`;
    if (chunk.length < CHUNK) continue;
    yield chunk;
    sent += chunk.length;
    chunk = '';
  }
  yield chunk;
}

/** So many seconds after the beginning of 2021. */
function instant(seconds: number): string {
  return new Date(1_609_459_200_000 + seconds * 1000).toISOString().replace('T', ' ').replace('.000Z', '+00');
}
