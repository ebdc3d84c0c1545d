import {
  type ApiCall,
  type Call,
  decodeHex,
  type IoctlCall,
  type JsonRecord,
  type JsonValue,
  type Note,
  type OtherCall,
  type PartialNote,
  RecordError,
  recordToCall,
} from '../src/trace/index.ts';
import { StoreError } from './errors.ts';
import { IOCTL_KINDS, recordKindOf } from './record-kinds.ts';
import * as at from './row.ts';

interface Meta {
  readonly tid: number | null;
  readonly tNs: number | null;
  readonly extra: Call['extra'];
}

interface IoctlMore {
  readonly arg?: string;
  readonly out?: string;
  /** Address of the struct when the answer depends on it, for readers of the hot columns. */
  readonly argp?: string;
  readonly mem?: JsonValue;
  readonly newfd?: number;
  readonly argfault?: boolean;
  readonly reply?: readonly [number, number];
  readonly partial?: PartialNote;
}

const NO_META: Meta = { tid: null, tNs: null, extra: null };

/**
 * Turns a row into a call with objects of its own. A row that has only the hot columns gives a call without
 * thread, time, unknown keys and address of the struct.
 * @throws StoreError when the row is not one that this version writes.
 */
export function decodeRow(row: at.Row): Call {
  try {
    const what = row[at.WHAT] as number;
    return what < IOCTL_KINDS.length ? decodeIoctl(row, IOCTL_KINDS[what]!) : decodeOther(row, what);
  } catch (error) {
    if (error instanceof RecordError || error instanceof SyntaxError) {
      throw new StoreError(`the row of seq ${row[at.SEQ]} is damaged: ${error.message}`);
    }
    throw error;
  }
}

function metaOf(row: at.Row): Meta {
  const text = row[at.META];
  if (typeof text !== 'string') return NO_META;
  const { tid, t_ns, extra } = JSON.parse(text) as { tid?: number; t_ns?: number; extra?: JsonRecord };
  return { tid: tid ?? null, tNs: t_ns ?? null, extra: extra ?? null };
}

function replyOf(row: at.Row, odd: readonly [number, number] | undefined) {
  if (odd !== undefined) return { replied: true, ret: odd[0], errno: odd[1] };
  const rc = row[at.RC];
  if (typeof rc !== 'number') return { replied: false, ret: 0, errno: 0 };
  return rc < 0 ? { replied: true, ret: -1, errno: -rc } : { replied: true, ret: rc, errno: 0 };
}

function decodeIoctl(row: at.Row, kind: IoctlCall['kind']): IoctlCall {
  const text = row[at.MORE];
  const more = typeof text === 'string' ? (JSON.parse(text) as IoctlMore) : {};
  const arg = decodeArg(row, more);
  const shared = { seq: row[at.SEQ] as number, pid: row[at.PID] as number, ...metaOf(row) };
  return {
    op: 'ioctl',
    ...shared,
    ...replyOf(row, more.reply),
    fd: row[at.FD] as number,
    kind,
    cmd: row[at.CMD] as number,
    argp: argpOf(row, more),
    argFault: more.argfault ?? false,
    arg,
    out: decodeOut(row, more, arg),
    mem: more.mem === undefined ? [] : decodeMem(more.mem),
    newFd: more.newfd ?? null,
    ...(more.partial === undefined ? {} : { partial: more.partial }),
  };
}

function argpOf(row: at.Row, more: IoctlMore): bigint {
  if (row[at.LEN] === null) return at.u64OfColumn(row[at.W0]);
  const column = row[at.ARGP] ?? null;
  return column === null && more.argp !== undefined ? BigInt(more.argp) : at.u64OfColumn(column);
}

function decodeMem(mem: JsonValue): IoctlCall['mem'] {
  const record = { op: 'ioctl', pid: 0, fd: 0, kind: '?', cmd: 0, argp: 0, mem };
  return (recordToCall(record, 0) as IoctlCall).mem;
}

function decodeArg(row: at.Row, more: IoctlMore): Uint8Array | null {
  const length = row[at.LEN];
  if (typeof length !== 'number') return null;
  if (length > at.HOT_BYTES_MAX) return decodeHex('arg', more.arg ?? '');
  const bytes = new Uint8Array(at.HOT_BYTES_MAX);
  const view = new DataView(bytes.buffer);
  for (let word = 0; word * 8 < length; word++) {
    at.writeWord(view, word * 8, row[at.W0 + word] as number | bigint);
  }
  return bytes.slice(0, length);
}

function decodeOut(row: at.Row, more: IoctlMore, arg: Uint8Array | null): Uint8Array | null {
  if (more.out !== undefined) return decodeHex('out', more.out);
  const changedWord = row[at.OW];
  if (arg === null || changedWord === at.NO_OUT) return null;
  if (typeof changedWord !== 'number') return arg;
  const bytes = new Uint8Array(at.HOT_BYTES_MAX);
  bytes.set(arg);
  at.writeWord(new DataView(bytes.buffer), changedWord * 8, row[at.OV] as number | bigint);
  return bytes.slice(0, arg.length);
}

function decodeOther(row: at.Row, what: number): Call {
  const known = recordKindOf(what);
  if (known === undefined)
    throw new StoreError(`the row of seq ${row[at.SEQ]} is damaged: no record_kind ${what}`);
  const { op, kind } = known;
  const text = row[at.MORE];
  const more = typeof text === 'string' ? (JSON.parse(text) as Record<string, JsonValue>) : {};
  const shared = { seq: row[at.SEQ] as number, pid: row[at.PID] as number, ...metaOf(row) };
  switch (op) {
    case 'note': {
      const { kind: named, ...fields } = more;
      return {
        op,
        ...shared,
        kind: kind ?? (named as string),
        fields: kind === null ? fields : more,
      } satisfies Note;
    }
    case 'poll':
    case 'memfd_create':
    case 'ftruncate':
    case 'cap_set_proc':
    case 'procstatus':
      return { op, ...shared, fields: more } satisfies OtherCall;
    case 'call':
      return decodeApiCall(row, more, shared);
    default: {
      const { reply, ...recorded } = more;
      const call = recordToCall({ op, kind, fd: row[at.FD] as number, pid: 0, ...recorded }, shared.seq)!;
      const isAnswered = op !== 'mmap' && op !== 'dma';
      const replied = !isAnswered ? {} : replyOf(row, reply as [number, number] | undefined);
      return { ...call, ...shared, ...replied } as Call;
    }
  }
}

/** A call that was recorded by name. Its keys were checked when it was written: see encodeOther. */
function decodeApiCall(
  row: at.Row,
  { generation, name, args, out, reply }: Record<string, JsonValue>,
  shared: Meta & Pick<Call, 'seq' | 'pid'>,
): ApiCall {
  if (typeof generation !== 'string' || typeof name !== 'string')
    throw new RecordError('a call without its generation or name');
  return {
    op: 'call',
    ...shared,
    generation,
    name,
    fd: (row[at.FD] as number | null) ?? -1,
    args: (args ?? {}) as JsonRecord,
    out: (out ?? null) as JsonRecord | null,
    ...replyOf(row, reply as [number, number] | undefined),
  };
}
