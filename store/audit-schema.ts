/**
 * Tables of the PASID history, and the checks of single rows. The history is a projection: it is rebuilt from
 * the log at any time, and the same log gives the same rows. docs/audit-sql.md asks questions of the views.
 */

const TABLES = `
-- Which history is there: rebuilt when "version" is not what this program would write.
CREATE TABLE audit_build (
  trace INTEGER PRIMARY KEY,
  version TEXT NOT NULL,             -- version of the history, kernel profile, calls that it covers
  diverged INTEGER NOT NULL          -- calls that the kernel answered otherwise: the history is the model's
) STRICT;

-- Where PASIDs are counted; where their numbers are unique, too ("is_space").
CREATE TABLE pasid_scope (
  trace INTEGER NOT NULL,
  scope INTEGER NOT NULL,            -- number within the trace
  kind TEXT NOT NULL CHECK (kind IN ('system', 'function', 'set', 'process')),
  name TEXT NOT NULL,                -- address of the function, name of the set, number of the process
  is_space INTEGER NOT NULL,         -- 1: two holders in this scope never have the same PASID
  quota INTEGER,                     -- PASIDs that may be held at once; NULL when nothing says so
  tenures INTEGER NOT NULL,          -- PASIDs handed out in all
  held INTEGER NOT NULL,             -- PASIDs held after the last call
  high_water INTEGER NOT NULL,       -- most PASIDs held at once
  high_water_seq INTEGER,            -- first call after which so many were held
  refused INTEGER NOT NULL,          -- requests that were refused
  PRIMARY KEY (trace, scope)
) STRICT, WITHOUT ROWID;

-- From the allocation of a PASID (or its first attachment, where user space picks the number) to its end.
CREATE TABLE pasid_tenure (
  trace INTEGER NOT NULL,
  tenure INTEGER NOT NULL,           -- number within the trace, in order of the beginning
  generation TEXT NOT NULL,          -- API: iommufd, proposal-2021-05 ...
  scope INTEGER NOT NULL,            -- pasid_scope in which the number is unique
  set_scope INTEGER,                 -- pasid_scope of the set that it was taken from
  pasid INTEGER NOT NULL,            -- host PASID: what is on the wire
  vpasid INTEGER,                    -- what the guest calls it
  context INTEGER NOT NULL,          -- open of /dev/iommu (or its predecessor) that holds it, counted from 1
  pid INTEGER NOT NULL,              -- process that took it
  fd INTEGER,                        -- descriptor that it was taken through
  from_seq INTEGER NOT NULL,         -- held after this call ...
  from_call TEXT NOT NULL,
  to_seq INTEGER,                    -- ... and not after this one; NULL: never freed
  to_call TEXT,                      -- name of the ioctl, "close", "exit" ...
  orphan_seq INTEGER,                -- call that released the context and did not free the PASID
  previous INTEGER,                  -- pasid_tenure that had the number before
  reuse_calls INTEGER,               -- calls from the end of that one to this beginning
  reuse_flush TEXT CHECK (reuse_flush IN ('kernel', 'asked', 'none')),
                                     -- who invalidated the caches in between: the kernel by rule, or user
                                     -- space by a call; none: handed out again before a flush;
                                     -- NULL: never put to use, so that there is nothing to flush
  faults_reported INTEGER NOT NULL,  -- page requests that the IOMMU reported for it
  faults_read INTEGER NOT NULL,      -- page requests that user space read
  PRIMARY KEY (trace, tenure)
) STRICT, WITHOUT ROWID;
CREATE INDEX pasid_tenure_by_number ON pasid_tenure (trace, scope, pasid, from_seq);

-- A PASID of one function pointing to one page table.
CREATE TABLE pasid_attachment (
  trace INTEGER NOT NULL,
  attachment INTEGER NOT NULL,       -- number within the trace, in order of the beginning
  tenure INTEGER NOT NULL,
  function TEXT NOT NULL,            -- PCI address of the device, or mock-<group>
  device INTEGER NOT NULL,           -- id of the device object in the context
  hwpt INTEGER NOT NULL,             -- id of the page table
  ioas INTEGER NOT NULL,             -- id of the address space that it translates; 0 when none
  pid INTEGER NOT NULL,
  fd INTEGER,
  from_seq INTEGER NOT NULL,         -- attached after this call ...
  to_seq INTEGER,                    -- ... and not after this one; NULL: to the end
  PRIMARY KEY (trace, attachment)
) STRICT, WITHOUT ROWID;
CREATE INDEX pasid_attachment_by_tenure ON pasid_attachment (trace, tenure);

-- All that happened to PASIDs, in order.
CREATE TABLE pasid_event (
  trace INTEGER NOT NULL,
  event INTEGER NOT NULL,            -- number within the trace
  seq INTEGER NOT NULL,              -- call that caused it
  nth INTEGER NOT NULL,              -- calls (without notes) up to and with that one
  pid INTEGER NOT NULL,
  fd INTEGER,
  call TEXT NOT NULL,                -- name of the ioctl or operation
  what TEXT NOT NULL,                -- alloc, free, attach, detach, fault ...: see docs/audit-sql.md
  generation TEXT NOT NULL,
  scope INTEGER NOT NULL,
  pasid INTEGER NOT NULL,
  vpasid INTEGER,
  tenure INTEGER,                    -- NULL when nobody held the PASID
  context INTEGER NOT NULL,
  function TEXT,
  device INTEGER,
  hwpt INTEGER,
  ioas INTEGER,
  vm TEXT,                           -- virtual machine of a KVM mapping
  reason TEXT,                       -- why it was refused; code of the answer to a fault
  PRIMARY KEY (trace, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX pasid_event_by_number ON pasid_event (trace, scope, pasid, event);
`;

const timeOf = (row: string): string => `json_extract(${row}.meta, '$.t_ns')`;

const VIEWS = `
CREATE VIEW pasid_scopes AS SELECT trace.name AS trace, kind, pasid_scope.name AS scope, is_space, quota,
  tenures, held, high_water, high_water_seq, refused
FROM pasid_scope JOIN trace ON trace.id = pasid_scope.trace;

CREATE VIEW pasid_tenures AS SELECT trace.name AS trace, t.tenure, t.generation, s.kind AS scope_kind,
  s.name AS scope, sets.name AS set_name, t.pasid, t.vpasid, t.context, t.pid, t.fd,
  t.from_seq, t.from_call, ${timeOf('began')} AS from_ns, t.to_seq, t.to_call, ${timeOf('ended')} AS to_ns,
  t.orphan_seq, t.previous, t.reuse_calls, ${timeOf('began')} - ${timeOf('ceased')} AS reuse_ns,
  t.reuse_flush, t.faults_reported, t.faults_read
FROM pasid_tenure AS t
JOIN trace ON trace.id = t.trace
JOIN pasid_scope AS s ON s.trace = t.trace AND s.scope = t.scope
LEFT JOIN pasid_scope AS sets ON sets.trace = t.trace AND sets.scope = t.set_scope
LEFT JOIN call AS began ON began.trace = t.trace AND began.seq = t.from_seq
LEFT JOIN call AS ended ON ended.trace = t.trace AND ended.seq = t.to_seq
LEFT JOIN pasid_tenure AS before ON before.trace = t.trace AND before.tenure = t.previous
LEFT JOIN call AS ceased ON ceased.trace = t.trace AND ceased.seq = before.to_seq;

CREATE VIEW pasid_attachments AS SELECT trace.name AS trace, a.attachment, a.tenure, t.pasid, t.context,
  a.function, a.device, a.hwpt, a.ioas, a.pid, a.fd, a.from_seq, a.to_seq
FROM pasid_attachment AS a
JOIN trace ON trace.id = a.trace
JOIN pasid_tenure AS t ON t.trace = a.trace AND t.tenure = a.tenure;

CREATE VIEW pasid_events AS SELECT trace.name AS trace, e.event, e.seq, e.nth, ${timeOf('c')} AS t_ns, e.pid,
  e.fd, e.call, e.what, e.generation, s.kind AS scope_kind, s.name AS scope, e.pasid, e.vpasid, e.tenure,
  e.context, e.function, e.device, e.hwpt, e.ioas, e.vm, e.reason
FROM pasid_event AS e
JOIN trace ON trace.id = e.trace
JOIN pasid_scope AS s ON s.trace = e.trace AND s.scope = e.scope
LEFT JOIN call AS c ON c.trace = e.trace AND c.seq = e.seq;
`;

/**
 * Checks of single rows. The triggers are those of `chain`; `log` says how the hashes of a trace are made
 * (chain.ts): traces of the first schema keep theirs.
 */
const CHECKS = `
ALTER TABLE trace ADD COLUMN log INTEGER NOT NULL DEFAULT 1;

CREATE TABLE row_check (
  trace INTEGER NOT NULL,
  link INTEGER NOT NULL,             -- chain.link
  checks BLOB NOT NULL,              -- CRC-32 of each row of the link, four little-endian bytes
  PRIMARY KEY (trace, link)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER row_check_is_immutable BEFORE UPDATE ON row_check
BEGIN SELECT RAISE(ABORT, 'the checks of rows are append-only'); END;
CREATE TRIGGER row_check_is_kept BEFORE DELETE ON row_check
WHEN (SELECT state FROM trace WHERE id = OLD.trace) = 'sealed'
BEGIN SELECT RAISE(ABORT, 'the trace is sealed: the checks of its rows stay'); END;
`;

/**
 * SQL that lets a moment find the tenures around it: by the nodes of interval-tree.ts, and those that never
 * end by themselves. Histories from before have no nodes, and are built again.
 */
export const TENURE_INTERVALS = `
ALTER TABLE pasid_tenure ADD COLUMN node INTEGER; -- of from_seq to to_seq - 1; NULL: never freed, or at once
CREATE INDEX pasid_tenure_by_node ON pasid_tenure (trace, node, from_seq, to_seq) WHERE node IS NOT NULL;
CREATE INDEX pasid_tenure_open ON pasid_tenure (trace, from_seq) WHERE to_seq IS NULL;
DELETE FROM audit_build;
`;

/** SQL that adds the PASID history, and the checks of rows. */
export const AUDIT_SCHEMA = TABLES + VIEWS + CHECKS;

/** Tables with a column `trace` that go with a trace, and are emptied before they are built again. */
export const AUDIT_TABLES = [
  'audit_build',
  'pasid_scope',
  'pasid_tenure',
  'pasid_attachment',
  'pasid_event',
] as const;
