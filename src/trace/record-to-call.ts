import { decodeByteString } from './bytes.ts';
import type { ApiCall, ByteString, Call, CallOp, DmaAccess, JsonValue, Note, OtherCall } from './call.ts';
import { RecordError } from './errors.ts';
import {
  type Extra,
  extraOf,
  intOf,
  type JsonRecord,
  keep,
  kindOf,
  lengthOf,
  optionalIntOf,
  requireExact,
  textOf,
  threadOf,
  U64_LAST,
  u64Of,
} from './fields.ts';
import { ioctlCallOf } from './ioctl-record.ts';
import { limitsOf } from './limits-note.ts';
import { withPartial } from './partial.ts';

const SHARED = ['op', 'seq', 'pid', 'tid', 't_ns'];
const known = (...keys: string[]): ReadonlySet<string> => new Set([...SHARED, ...keys]);

const OPEN_KEYS = known('fd', 'kind', 'path', 'flags', 'ret', 'errno');
const CLOSE_KEYS = known('fd', 'kind', 'ret', 'errno');
const MMAP_KEYS = known('fd', 'kind', 'addr', 'len', 'prot', 'flags', 'off', 'ret', 'errno');
const MUNMAP_KEYS = known('addr', 'len', 'ret', 'errno');
const READ_KEYS = known('fd', 'kind', 'addr', 'len', 'out', 'ret', 'errno');
const WRITE_KEYS = known('fd', 'kind', 'addr', 'len', 'arg', 'ret', 'errno');
const FORK_KEYS = known('child', 'ret', 'errno');
const WAITPID_KEYS = known('child', 'status', 'ret', 'errno');
const API_KEYS = known('generation', 'name', 'fd', 'args', 'out', 'ret', 'errno');
const DMA_KEYS = known('device', 'pasid', 'iova', 'len', 'access', 'result', 'physical');
const NOTE_KEYS = known('kind');
const OTHER_KEYS = known();
const withOffset = (keys: ReadonlySet<string>): ReadonlySet<string> => new Set([...keys, 'off']);
const PREAD_KEYS = withOffset(READ_KEYS);
const PWRITE_KEYS = withOffset(WRITE_KEYS);

/** The reply of a call, and what is kept when only half of it was recorded. */
export interface Reply {
  readonly replied: boolean;
  readonly ret: number;
  readonly errno: number;
}

/** Reads `ret` and `errno`. Without `ret` the reply counts as stripped. @throws RecordError */
export function replyOf(record: JsonRecord, extra: Extra): [Reply, Extra] {
  const ret = optionalIntOf(record, 'ret');
  const errno = optionalIntOf(record, 'errno');
  if (ret !== null) return [{ replied: true, ret, errno: errno ?? 0 }, extra];
  // A lone errno is not a reply, but it was recorded and must survive.
  return [{ replied: false, ret: 0, errno: 0 }, errno === null ? extra : keep(extra, 'errno', errno)];
}

/**
 * Turns one record (a capture line after JSON.parse) into a Call; undefined when its `op` is not known.
 * @param seq Position of the record, already resolved.
 * @throws RecordError saying which key is missing or wrong, without a position.
 */
export function recordToCall(record: JsonRecord, seq: number): Call | undefined {
  const call = callOf(record, seq);
  return call === undefined || call.extra === null ? call : withPartial(call);
}

function callOf(record: JsonRecord, seq: number): Call | undefined {
  const op = textOf(record, 'op') as CallOp;
  switch (op) {
    case 'ioctl':
      return ioctlCallOf(record, seq);
    case 'open': {
      const [shared, extra] = descriptorOf(record, seq, OPEN_KEYS);
      const [reply, kept] = replyOf(record, extra);
      return {
        op,
        ...shared,
        path: textOf(record, 'path'),
        flags: u64Of(record, 'flags'),
        ...reply,
        extra: kept,
      };
    }
    case 'close': {
      const [shared, extra] = descriptorOf(record, seq, CLOSE_KEYS);
      const [reply, kept] = replyOf(record, extra);
      return { op, ...shared, ...reply, extra: kept };
    }
    case 'mmap':
      return mmapCallOf(record, seq);
    case 'munmap': {
      const [shared, extra] = recordedOf(record, seq, extraOf(record, MUNMAP_KEYS));
      const [reply, kept] = replyOf(record, extra);
      return { op, ...shared, addr: u64Of(record, 'addr'), len: u64Of(record, 'len'), ...reply, extra: kept };
    }
    case 'read':
    case 'pread':
    case 'write':
    case 'pwrite':
      return transferCallOf(record, seq, op);
    case 'fork': {
      const [shared, extra] = recordedOf(record, seq, extraOf(record, FORK_KEYS));
      const [reply, kept] = replyOf(record, extra);
      return { op, ...shared, child: intOf(record, 'child'), ...reply, extra: kept };
    }
    case 'waitpid': {
      const [shared, extra] = recordedOf(record, seq, extraOf(record, WAITPID_KEYS));
      const [reply, kept] = replyOf(record, extra);
      const status = intOf(record, 'status');
      return { op, ...shared, child: intOf(record, 'child'), status, ...reply, extra: kept };
    }
    case 'note':
      return noteOf(record, seq);
    case 'poll':
    case 'memfd_create':
    case 'ftruncate':
    case 'cap_set_proc':
    case 'procstatus':
      return otherCallOf(record, seq, op);
    case 'dma':
      return dmaAccessOf(record, seq);
    case 'call':
      return apiCallOf(record, seq);
    default:
      // Not assertNever: op came from a file.
      return undefined;
  }
}

function recordedOf(record: JsonRecord, seq: number, found: Extra) {
  const [tid, tNs, extra] = threadOf(record, found);
  return [{ seq, pid: intOf(record, 'pid'), tid, tNs }, extra] as const;
}

function descriptorOf(record: JsonRecord, seq: number, keys: ReadonlySet<string>) {
  const [shared, found] = recordedOf(record, seq, extraOf(record, keys));
  const [kind, extra] = kindOf(record, found);
  return [{ ...shared, fd: intOf(record, 'fd'), kind }, extra] as const;
}

function mmapCallOf(record: JsonRecord, seq: number): Call {
  let [shared, extra] = descriptorOf(record, seq, MMAP_KEYS);
  const errno = optionalIntOf(record, 'errno') ?? 0;
  const ret = record['ret'] ?? null;
  let mapped = ret === null || ret === -1 ? null : u64Of(record, 'ret');
  if (mapped === U64_LAST) mapped = null;
  // A failure that does not say why would read back as "not recorded".
  if (mapped === null && ret !== null && errno === 0) extra = keep(extra, 'ret', ret);
  return {
    op: 'mmap',
    ...shared,
    addr: u64Of(record, 'addr'),
    len: u64Of(record, 'len'),
    prot: intOf(record, 'prot'),
    flags: u64Of(record, 'flags'),
    off: u64Of(record, 'off'),
    mapped,
    errno,
    extra,
  };
}

function transferCallOf(record: JsonRecord, seq: number, op: 'read' | 'pread' | 'write' | 'pwrite'): Call {
  const isPositioned = op === 'pread' || op === 'pwrite';
  const isRead = op === 'read' || op === 'pread';
  const keys = isRead ? (isPositioned ? PREAD_KEYS : READ_KEYS) : isPositioned ? PWRITE_KEYS : WRITE_KEYS;
  const [shared, found] = descriptorOf(record, seq, keys);
  const [reply, partly] = replyOf(record, found);
  const [len, extra] = lengthOf(record, 'len', partly);
  const addr = u64Of(record, 'addr');
  const off = isPositioned ? u64Of(record, 'off') : null;
  const transfer = { ...shared, addr, len, off, ...reply, extra };
  if (op === 'read' || op === 'pread') return { op, ...transfer, out: optionalBytesOf(record, 'out') };
  return { op, ...transfer, arg: optionalBytesOf(record, 'arg') };
}

function optionalBytesOf(record: JsonRecord, key: string): ByteString | null {
  const value = record[key];
  return value === undefined || value === null ? null : decodeByteString(key, value);
}

function fieldsOf(record: JsonRecord, keys: ReadonlySet<string>): JsonRecord {
  requireExact(record);
  return Object.fromEntries(Object.entries(record).filter(([key]) => !keys.has(key)));
}

function noteOf(record: JsonRecord, seq: number): Note {
  const [shared, extra] = recordedOf(record, seq, null);
  const kind = textOf(record, 'kind');
  // What is checked here is what the model trusts later: addresses, and bytes that it will decode.
  if (kind === 'usermem' || kind === 'pagemap') {
    u64Of(record, 'va');
    u64Of(record, 'len');
  }
  if (kind === 'limits') limitsOf(record);
  if (kind === 'usermem' || record['hex'] !== undefined) decodeByteString('hex', record['hex']);
  if (kind === 'pagemap' && !Array.isArray(record['pfns'])) throw new RecordError('"pfns" must be a list');
  return { op: 'note', ...shared, kind, fields: fieldsOf(record, NOTE_KEYS), extra };
}

function otherCallOf(record: JsonRecord, seq: number, op: OtherCall['op']): OtherCall {
  const [shared, extra] = recordedOf(record, seq, null);
  if (op === 'poll' || op === 'memfd_create' || op === 'ftruncate') intOf(record, 'fd');
  return { op, ...shared, fields: fieldsOf(record, OTHER_KEYS), extra };
}

/** A transfer of more than this is none that one device request makes. */
const DMA_BYTES_MAX = 2 ** 32;
/** PASIDs have 20 bits. */
const PASIDS = 2 ** 20;

function dmaAccessOf(record: JsonRecord, seq: number): DmaAccess {
  const [shared, extra] = recordedOf(record, seq, extraOf(record, DMA_KEYS));
  const len = optionalIntOf(record, 'len') ?? 1;
  const pasid = optionalIntOf(record, 'pasid') ?? 0;
  const iova = u64Of(record, 'iova');
  if (len < 1 || len > DMA_BYTES_MAX) throw new RecordError('"len" must be between 1 and 2^32');
  if (pasid < 0 || pasid >= PASIDS) throw new RecordError('"pasid" must be below 2^20');
  if (iova + BigInt(len) - 1n > U64_LAST) throw new RecordError('"iova" and "len" must end below 2^64');
  return {
    op: 'dma',
    ...shared,
    device: textOf(record, 'device'),
    pasid,
    iova,
    len,
    access: oneOf(record, 'access', ['r', 'w', 'x']) ?? 'r',
    result: oneOf(record, 'result', ['hit', 'miss', 'fault']),
    physical: record['physical'] === undefined ? null : u64Of(record, 'physical'),
    extra,
  };
}

/** One of the texts, or null when the key is absent. */
function oneOf<T extends string>(record: JsonRecord, key: string, texts: readonly T[]): T | null {
  const value = record[key];
  if (value === undefined || value === null) return null;
  const found = texts.find((text) => text === value);
  if (found === undefined) throw new RecordError(`"${key}" must be one of ${texts.join(', ')}`);
  return found;
}

function apiCallOf(record: JsonRecord, seq: number): ApiCall {
  const [shared, found] = recordedOf(record, seq, extraOf(record, API_KEYS));
  const [reply, extra] = replyOf(record, found);
  const out = record['out'] ?? null;
  return {
    op: 'call',
    ...shared,
    generation: textOf(record, 'generation'),
    name: textOf(record, 'name'),
    fd: optionalIntOf(record, 'fd') ?? -1,
    args: objectOf('args', record['args'] ?? {}),
    out: out === null ? null : objectOf('out', out),
    ...reply,
    extra,
  };
}

function objectOf(key: string, value: JsonValue): JsonRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RecordError(`"${key}" must be an object`);
  requireExact(value);
  return value as JsonRecord;
}
