import { AUDIT_SCHEMA, TENURE_INTERVALS } from './audit-schema.ts';
import { RECORD_KINDS } from './record-kinds.ts';
import { TIMELINE_SCHEMA } from './timeline-schema.ts';

/** `PRAGMA application_id` of a store: "IOAS". */
export const APPLICATION_ID = 0x494f4153;

const TABLES = `
CREATE TABLE trace (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  header TEXT,                       -- the header line of the capture as JSON, NULL when it had none
  state TEXT NOT NULL CHECK (state IN ('importing', 'sealed')),
  call_count INTEGER NOT NULL,
  first_seq INTEGER,
  last_seq INTEGER,
  skipped TEXT NOT NULL,             -- records with an unknown op, counted by its name, as JSON
  chain_head BLOB NOT NULL           -- newest hash of the chain
) STRICT;

-- One row for each record of a capture. What the columns do not hold stands in "more".
CREATE TABLE call (
  trace INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  what INTEGER NOT NULL,             -- record_kind.what
  pid INTEGER NOT NULL,
  fd INTEGER,
  cmd INTEGER,                       -- ioctl number
  rc INTEGER,                        -- the return value, or minus errno; NULL when no reply was recorded
  len INTEGER,                       -- bytes of the ioctl's struct; NULL when the argument is a plain value
  w0 INTEGER,                        -- the struct before the call as little-endian 64-bit words;
  w1 INTEGER,                        -- without a struct, w0 is the plain value
  w2 INTEGER,
  w3 INTEGER,
  w4 INTEGER,
  ow INTEGER,                        -- the one word that the call changed, 0 to 4; -1: "after" not recorded
  ov INTEGER,                        -- the value of that word after the call
  argp INTEGER,                      -- address of the struct
  more TEXT,                         -- JSON: longer structs, buffers, paths, what else a record holds
  meta TEXT,                         -- JSON: thread, time, unknown keys: what a replay never looks at
  PRIMARY KEY (trace, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE record_kind (what INTEGER PRIMARY KEY, op TEXT NOT NULL, kind TEXT) STRICT;

-- hash = SHA-256(hash before || the rows since then), one link for each 4096 calls and one when sealed.
CREATE TABLE chain (
  trace INTEGER NOT NULL,
  link INTEGER NOT NULL,
  last_seq INTEGER,
  hash BLOB NOT NULL,
  PRIMARY KEY (trace, link)
) STRICT, WITHOUT ROWID;

-- A cache: may be emptied at any time.
CREATE TABLE snapshot (
  trace INTEGER NOT NULL,
  model_version TEXT NOT NULL,
  seq INTEGER NOT NULL,
  state BLOB NOT NULL,
  UNIQUE (trace, model_version, seq)
) STRICT;
`;

const isSealed = (trace: string): string => `(SELECT state FROM trace WHERE id = ${trace}) = 'sealed'`;

const refuse = (name: string, event: string, when: string, message: string): string => `
CREATE TRIGGER ${name} ${event} ${when === '' ? '' : `WHEN ${when}`}
BEGIN SELECT RAISE(ABORT, '${message}'); END;`;

// AFTER INSERT and not BEFORE: that costs half as much a row, and refuses just as well.
const TRIGGERS = [
  refuse('call_is_immutable', 'BEFORE UPDATE ON call', '', 'calls are append-only: they are never changed'),
  refuse(
    'call_is_kept',
    'BEFORE DELETE ON call',
    isSealed('OLD.trace'),
    'the trace is sealed: its calls are never deleted',
  ),
  refuse(
    'call_is_closed',
    'AFTER INSERT ON call',
    isSealed('NEW.trace'),
    'the trace is sealed: nothing is added to it',
  ),
  refuse('chain_is_immutable', 'BEFORE UPDATE ON chain', '', 'the hash chain is append-only'),
  refuse(
    'chain_is_kept',
    'BEFORE DELETE ON chain',
    isSealed('OLD.trace'),
    'the trace is sealed: its hash chain stays',
  ),
  refuse(
    'trace_is_immutable',
    'BEFORE UPDATE ON trace',
    `OLD.state = 'sealed'`,
    'the trace is sealed: it is never changed',
  ),
  refuse(
    'trace_is_kept',
    'BEFORE DELETE ON trace',
    `OLD.state = 'sealed'`,
    'the trace is sealed: it is never deleted',
  ),
].join('\n');

const low = (word: string): string => `${word} & 0xffffffff`;
const high = (word: string): string => `(${word} >> 32) & 0xffffffff`;
const hex = (word: string): string => `printf('0x%llx', ${word})`;
const after = (index: number): string => `CASE ow WHEN ${index} THEN ov WHEN -1 THEN NULL ELSE w${index} END`;

/** A view of one ioctl: columns by name, each an SQL expression over the words. */
const ioctlView = (name: string, cmd: number, columns: Readonly<Record<string, string>>): string => `
CREATE VIEW ${name} AS SELECT trace.name AS trace, seq, pid, fd, rc,
  ${Object.entries(columns)
    .map(([column, expression]) => `${expression} AS ${column}`)
    .join(', ')}
FROM call JOIN trace ON trace.id = call.trace JOIN record_kind USING (what)
WHERE op = 'ioctl' AND kind IN ('iommufd', 'container') AND cmd = ${cmd};`;

const VIEWS = [
  `CREATE VIEW calls AS SELECT trace.name AS trace, seq, pid, op,
  coalesce(json_extract(meta, '$.extra.kind'), kind, json_extract(more, '$.kind')) AS kind, fd,
  printf('0x%x', cmd) AS cmd, rc, len, ${hex('coalesce(argp, w0)')} AS argp,
  json_extract(meta, '$.tid') AS tid, json_extract(meta, '$.t_ns') AS t_ns, more
FROM call JOIN trace ON trace.id = call.trace JOIN record_kind USING (what);`,
  ioctlView('ioas_alloc', 0x3b81, { flags: high('w0'), out_ioas_id: low(`(${after(1)})`) }),
  ioctlView('ioas_copy', 0x3b83, {
    flags: high('w0'),
    dst_ioas_id: low('w1'),
    src_ioas_id: high('w1'),
    length: 'w2',
    dst_iova: hex('w3'),
    src_iova: hex('w4'),
    out_dst_iova: hex(after(3)),
  }),
  ioctlView('ioas_map', 0x3b85, {
    flags: high('w0'),
    ioas_id: low('w1'),
    user_va: hex('w2'),
    length: 'w3',
    iova: hex('w4'),
    out_iova: hex(after(4)),
  }),
  ioctlView('ioas_unmap', 0x3b86, {
    ioas_id: high('w0'),
    iova: hex('w1'),
    length: 'w2',
    out_length: after(2),
  }),
  ioctlView('dma_map', 0x3b71, { flags: high('w0'), vaddr: hex('w1'), iova: hex('w2'), size: 'w3' }),
  ioctlView('dma_unmap', 0x3b72, { flags: high('w0'), iova: hex('w1'), size: 'w2', out_size: after(2) }),
].join('\n');

const sqlText = (text: string | null): string => (text === null ? 'NULL' : `'${text.replaceAll("'", "''")}'`);

const RECORD_KIND_ROWS = `INSERT INTO record_kind VALUES ${RECORD_KINDS.map(
  ({ what, op, kind }) => `(${what}, ${sqlText(op)}, ${sqlText(kind)})`,
).join(', ')};`;

/** SQL that takes a store from version i to i + 1. Never change one that was released: add another. */
export const MIGRATIONS: readonly string[] = [
  [TABLES, TRIGGERS, VIEWS, RECORD_KIND_ROWS].join('\n'),
  AUDIT_SCHEMA,
  // Records of kind `call`: stores of the versions before lack their number.
  RECORD_KIND_ROWS.replace('INSERT', 'INSERT OR IGNORE'),
  // Records of kind `dma`.
  RECORD_KIND_ROWS.replace('INSERT', 'INSERT OR IGNORE'),
  TIMELINE_SCHEMA,
  TENURE_INTERVALS,
];

/** `PRAGMA user_version` that this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;
