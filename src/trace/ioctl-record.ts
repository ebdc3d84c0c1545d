import { decodeByteString, decodeHex, isSameBytes, isSkipped, smallHexNumber } from './bytes.ts';
import type { ByteString, IoctlCall, JsonValue, MemoryBuffer } from './call.ts';
import { RecordError } from './errors.ts';
import {
  type Extra,
  extraOf,
  flagOf,
  hexOf,
  intOf,
  type JsonRecord,
  keep,
  kindOf,
  lengthOf,
  optionalIntOf,
  textOf,
  threadOf,
  u64Of,
} from './fields.ts';

const IOCTL_KEYS: ReadonlySet<string> = new Set([
  ...['op', 'seq', 'pid', 'tid', 't_ns', 'fd', 'kind', 'cmd', 'argp', 'arg', 'out', 'same', 'argfault'],
  ...['mem', 'newfd', 'ret', 'errno'],
]);
const MEM_KEYS: ReadonlySet<string> = new Set([
  'addr',
  'len',
  'dir',
  'before',
  'after',
  'same',
  'fault',
  'cut',
]);
const HOT_KEY_COUNT = 12;
const U32_LAST = 0xffff_ffff;
const NO_MEM: readonly MemoryBuffer[] = [];

/**
 * Turns an ioctl record into a call. By far the most frequent record: each key is read once, and the general
 * readers of `fields.ts` run only for what is rare or wrong.
 */
export function ioctlCallOf(record: JsonRecord, seq: number): IoctlCall {
  const { pid, fd, kind: kindText, cmd: cmdText, mem, ret: rawRet, errno: rawErrno, arg: rawArg } = record;
  let extra = ioctlExtraOf(record);
  let tid: number | null = null;
  let tNs: number | null = null;
  const hasThread = record['tid'] !== undefined || record['t_ns'] !== undefined;
  if (hasThread) [tid, tNs, extra] = threadOf(record, extra);

  let kind: IoctlCall['kind'] = 'iommufd';
  if (kindText !== 'iommufd') [kind, extra] = kindOf(record, extra);

  let cmd = typeof cmdText === 'string' ? smallHexNumber(cmdText) : -1;
  if (cmd < 0 || cmd > U32_LAST) {
    const wideCmd = u64Of(record, 'cmd');
    cmd = Number(BigInt.asUintN(32, wideCmd));
    // The kernel looks at 32 bits only; C callers that sign-extend the number pass more.
    if (wideCmd > BigInt(U32_LAST)) extra = keep(extra, 'cmd', hexOf(wideCmd));
  }

  const ret = Number.isSafeInteger(rawRet) ? (rawRet as number) : optionalIntOf(record, 'ret');
  const errno = Number.isSafeInteger(rawErrno) ? (rawErrno as number) : optionalIntOf(record, 'errno');
  // A lone errno is not a reply, but it was recorded and must survive.
  if (ret === null && errno !== null) extra = keep(extra, 'errno', errno);

  const arg = structOf('arg', rawArg);
  return {
    op: 'ioctl',
    seq,
    pid: Number.isSafeInteger(pid) ? (pid as number) : intOf(record, 'pid'),
    tid,
    tNs,
    extra,
    replied: ret !== null,
    ret: ret ?? 0,
    errno: ret === null ? 0 : (errno ?? 0),
    fd: Number.isSafeInteger(fd) ? (fd as number) : intOf(record, 'fd'),
    kind,
    cmd,
    argp: u64Of(record, 'argp'),
    argFault: record['argfault'] === undefined ? false : flagOf(record, 'argfault'),
    arg,
    out: structAfterOf(record, arg),
    mem: memOf(mem),
    newFd: record['newfd'] === undefined ? null : optionalIntOf(record, 'newfd'),
  };
}

/** Keys beyond those of a hot line are looked at one by one; a hot line is told by its number of keys. */
function ioctlExtraOf(record: JsonRecord): Extra {
  const { op, seq, pid, fd, kind, cmd, argp, arg, out, mem, ret, errno } = record;
  const isHot =
    seq !== undefined &&
    arg !== undefined &&
    out !== undefined &&
    mem !== undefined &&
    ret !== undefined &&
    errno !== undefined &&
    op !== undefined &&
    pid !== undefined &&
    fd !== undefined &&
    kind !== undefined &&
    cmd !== undefined &&
    argp !== undefined;
  return isHot && Object.keys(record).length === HOT_KEY_COUNT ? null : extraOf(record, IOCTL_KEYS);
}

function structOf(key: string, value: JsonValue | undefined): Uint8Array | null {
  if (typeof value === 'string') return decodeHex(key, value);
  if (value === undefined || value === null) return null;
  const bytes = decodeByteString(key, value);
  if (isSkipped(bytes))
    throw new RecordError(`"${key}" must hold the bytes of the struct: they may not be left out`);
  return bytes;
}

function structAfterOf(record: JsonRecord, arg: Uint8Array | null): Uint8Array | null {
  const out = record['out'];
  if (out === undefined || out === null) {
    if (!flagOf(record, 'same')) return null;
    if (arg === null) throw new RecordError('"same" says that "out" is "arg", but "arg" is missing');
    return arg;
  }
  if (out === record['arg']) return arg;
  const bytes = structOf('out', out);
  return arg !== null && bytes !== null && isSameBytes(arg, bytes) ? arg : bytes;
}

function memOf(value: JsonValue | undefined): readonly MemoryBuffer[] {
  if (value === undefined || value === null) return NO_MEM;
  if (!Array.isArray(value)) throw new RecordError('"mem" must be a list');
  return value.length === 0 ? NO_MEM : value.map((buffer, index) => memoryBufferOf(buffer, `mem[${index}]`));
}

function memoryBufferOf(value: JsonValue, where: string): MemoryBuffer {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RecordError(`"${where}" must be an object`);
  }
  const record = value as JsonRecord;
  try {
    const [len, extra] = lengthOf(record, 'len', extraOf(record, MEM_KEYS));
    const before = record['before'] == null ? null : decodeByteString('before', record['before']);
    const dir = textOf(record, 'dir');
    if (dir !== 'in' && dir !== 'out' && dir !== 'inout')
      throw new RecordError('"dir" must be in, out or inout');
    const buffer = {
      addr: u64Of(record, 'addr'),
      len,
      dir,
      before,
      after: memoryAfterOf(record, before),
      fault: flagOf(record, 'fault'),
      cut: flagOf(record, 'cut'),
    } as const;
    return extra === null ? buffer : { ...buffer, extra };
  } catch (error) {
    if (error instanceof RecordError) error.message = `${error.message} (in "${where}")`;
    throw error;
  }
}

function memoryAfterOf(record: JsonRecord, before: ByteString | null): ByteString | null {
  const after = record['after'];
  if (after === undefined || after === null) {
    if (!flagOf(record, 'same')) return null;
    if (before === null)
      throw new RecordError('"same" says that "after" is "before", but "before" is missing');
    return before;
  }
  const bytes = decodeByteString('after', after);
  return before !== null && isSameBytes(before, bytes) ? before : bytes;
}
