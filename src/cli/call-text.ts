import {
  type ApiCall,
  type ByteString,
  type Call,
  type DmaAccess,
  encodeHex,
  type IoctlCall,
  isSkipped,
  type JsonValue,
  type MemoryBuffer,
  type MmapCall,
  type PartialNote,
  type ReadCall,
  type WriteCall,
} from '../trace/index.ts';
import { errnoName, findIoctl, renderArgument, renderFlags, renderReply } from '../uapi/index.ts';
import { errnoText } from './errno-text.ts';

/** Bytes and characters beyond these many are cut; `--json` has the whole structs. */
const BYTES_SHOWN = 32;
const CHARS_SHOWN = 64;

const PROT = { PROT_READ: 1, PROT_WRITE: 2, PROT_EXEC: 4 };
const MAP = {
  MAP_SHARED: 0x1,
  MAP_PRIVATE: 0x2,
  MAP_FIXED: 0x10,
  MAP_ANONYMOUS: 0x20,
  MAP_LOCKED: 0x2000,
  MAP_NORESERVE: 0x4000,
  MAP_POPULATE: 0x8000,
  MAP_HUGETLB: 0x40000,
};
const OPEN = { O_CREAT: 0x40, O_EXCL: 0x80, O_TRUNC: 0x200, O_NONBLOCK: 0x800, O_CLOEXEC: 0x80000 };
const ACCESS_MODES = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'];

/** What a descriptor shows as; the others show their kind. */
const PATHS: Readonly<Record<string, string>> = { iommufd: '/dev/iommu', container: '/dev/vfio/vfio' };

/** A call as strace would print it: `ioctl(3</dev/iommu>, IOMMU_IOAS_ALLOC, {}) = 0 {out_ioas_id=1}`. */
export function renderCall(call: Call): string {
  const { partial } = call;
  return partial === undefined ? renderWhole(call) : `${renderWhole(call)}${partialText(partial)}`;
}

/** What is not known of a call, behind it: `[missing argp, memory]`. */
function partialText({ missing, doubtful, implied }: PartialNote): string {
  const parts = [
    missing.length === 0 ? '' : `missing ${missing.join(', ')}`,
    doubtful === undefined ? '' : `doubtful: ${doubtful}`,
    implied === undefined ? '' : `implied: ${implied}`,
  ];
  return suffix(parts.filter((part) => part !== '').join('; '));
}

function renderWhole(call: Call): string {
  switch (call.op) {
    case 'open':
      return `open(${JSON.stringify(call.path)}, ${openFlags(call.flags)})${resultOf(call)}`;
    case 'close':
      return `close(${descriptor(call.fd, call.kind)})${resultOf(call)}`;
    case 'ioctl':
      return renderIoctl(call);
    case 'mmap':
      return renderMmap(call);
    case 'munmap':
      return `munmap(${hex(call.addr)}, ${hex(call.len)})${resultOf(call)}`;
    case 'read':
    case 'pread':
      return `${call.op}(${transferOf(call)})${resultOf(call)}${suffix(bytesText(call.out))}`;
    case 'write':
    case 'pwrite':
      return `${call.op}(${transferOf(call)}${prefix(bytesText(call.arg))})${resultOf(call)}`;
    case 'fork':
      return `fork()${resultOf(call)}${suffix(`child ${call.child}`)}`;
    case 'waitpid':
      return `waitpid(${call.child})${resultOf(call)}${suffix(`status ${hex(call.status)}`)}`;
    case 'call':
      return renderApiCall(call);
    case 'dma':
      return renderDma(call);
    case 'note':
      return `note ${call.kind} ${fieldsText(call.fields)}`;
    default:
      return `${call.op} ${fieldsText(call.fields)}`;
  }
}

/** `dma 0000:01:00.0 pasid 1 w 0x1000 64 bytes [hit]`. */
function renderDma({ device, pasid, access, iova, len, result, physical }: DmaAccess): string {
  const slot = pasid === 0 ? device : `${device} pasid ${pasid}`;
  const to = physical === null ? '' : ` -> ${hex(physical)}`;
  return `dma ${slot} ${access} ${hex(iova)}${to} ${len} bytes${suffix(result ?? '')}`;
}

function renderIoctl(call: IoctlCall): string {
  const entry = findIoctl(call.kind, call.cmd);
  const name = entry?.name ?? hex(call.cmd);
  const argument =
    entry === undefined
      ? unknownArgument(call)
      : renderArgument(entry, call.argp, call.argFault ? null : call.arg);
  const layout = entry?.layout;
  const reply =
    layout && call.arg !== null && call.out !== null && call.replied
      ? renderReply(layout, call.arg, call.out, call.errno !== 0)
      : '{}';
  const parts = [descriptor(call.fd, call.kind), name, ...(argument === '' ? [] : [argument])];
  const newFd = call.newFd === null ? '' : ` newfd=${call.newFd}`;
  const memory = call.mem.map((buffer) => suffix(memoryText(buffer))).join('');
  return `ioctl(${parts.join(', ')})${resultOf(call)}${reply === '{}' ? '' : ` ${reply}`}${newFd}${memory}`;
}

/** A call without a binary layout: `IOASID_ALLOC(3, {}) = 0 {}`. */
function renderApiCall(call: ApiCall): string {
  const args = [...(call.fd === -1 ? [] : [String(call.fd)]), fieldsText(call.args)];
  const out = call.out === null || Object.keys(call.out).length === 0 ? '' : ` ${fieldsText(call.out)}`;
  return `${call.name}(${args.join(', ')})${resultOf(call)}${out}`;
}

function unknownArgument({ argp, arg }: IoctlCall): string {
  return arg === null ? hex(argp) : `${hex(argp)} ${bytesText(arg)}`;
}

function renderMmap(call: MmapCall): string {
  const file = call.fd === -1 ? '-1' : descriptor(call.fd, call.kind);
  const args = [
    call.addr === 0n ? 'NULL' : hex(call.addr),
    hex(call.len),
    call.prot === 0 ? 'PROT_NONE' : renderFlags(PROT, call.prot),
    renderFlags(MAP, call.flags),
    file,
    hex(call.off),
  ];
  const result =
    call.mapped !== null
      ? hex(call.mapped)
      : call.errno === 0
        ? '?'
        : `-1 ${errnoText(errnoName(call.errno))}`;
  return `mmap(${args.join(', ')}) = ${result}`;
}

function resultOf({ replied, ret, errno }: { replied: boolean; ret: number; errno: number }): string {
  if (!replied) return ' = ?';
  return errno === 0 ? ` = ${ret}` : ` = ${ret} ${errnoText(errnoName(errno))}`;
}

function descriptor(fd: number, kind: string): string {
  return kind === '?' ? String(fd) : `${fd}<${PATHS[kind] ?? kind}>`;
}

function openFlags(flags: bigint): string {
  const mode = ACCESS_MODES[Number(flags & 3n)] ?? '';
  const rest = flags & ~3n;
  return rest === 0n ? mode : `${mode}|${renderFlags(OPEN, rest)}`;
}

function transferOf(call: ReadCall | WriteCall): string {
  const args = [descriptor(call.fd, call.kind), hex(call.addr), String(call.len)];
  if (call.off !== null) args.push(hex(call.off));
  return args.join(', ');
}

function memoryText({ addr, len, dir, before, after, fault, cut }: MemoryBuffer): string {
  const marks = `${fault ? ' fault' : ''}${cut ? ' cut' : ''}`;
  const content = bytesText(dir === 'out' ? after : before);
  return `${dir} ${hex(addr)} ${len} bytes${marks}${content === '' ? '' : ` ${content}`}`;
}

function bytesText(bytes: ByteString | null): string {
  if (bytes === null || (!isSkipped(bytes) && bytes.length === 0)) return '';
  if (isSkipped(bytes)) return `(${bytes.skip} bytes left out)`;
  return `"${encodeHex(bytes.subarray(0, BYTES_SHOWN))}${bytes.length > BYTES_SHOWN ? '…' : ''}"`;
}

function prefix(text: string): string {
  return text === '' ? '' : `, ${text}`;
}

function suffix(text: string): string {
  return text === '' ? '' : ` [${text}]`;
}

function fieldsText(fields: Readonly<Record<string, JsonValue>>): string {
  const parts = Object.entries(fields).map(([key, value]) => {
    const text = typeof value === 'string' && !/[\s,{}]/.test(value) ? value : JSON.stringify(value);
    return `${key}=${text.length > CHARS_SHOWN ? `${text.slice(0, CHARS_SHOWN)}…` : text}`;
  });
  return `{${parts.join(', ')}}`;
}

function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
