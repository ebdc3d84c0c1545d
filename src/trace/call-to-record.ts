import { encodeByteString, encodeHex } from './bytes.ts';
import type { ByteString, Call, DmaAccess, IoctlCall, JsonValue, MemoryBuffer, MmapCall } from './call.ts';
import { hexOf, U64_LAST } from './fields.ts';
import { partialJson } from './partial.ts';

/** A record under construction: keys in the order in which they are written. */
export type WritableRecord = Record<string, JsonValue>;

/**
 * Turns a call into the record of a capture line: the inverse of `recordToCall`. Keys stand in the order that
 * the reference recorder uses; `extra` comes last and wins, because it holds what the typed fields could not.
 */
export function callToRecord(call: Call): WritableRecord {
  const record: WritableRecord = { seq: call.seq, pid: call.pid };
  if (call.tid !== null) record['tid'] = call.tid;
  if (call.tNs !== null) record['t_ns'] = call.tNs;
  record['op'] = call.op;
  addBody(record, call);
  if (call.partial !== undefined) record['partial'] = partialJson(call.partial);
  if (call.extra === null) return record;
  return Object.fromEntries([...Object.entries(record), ...Object.entries(call.extra)]);
}

function addBody(record: WritableRecord, call: Call): void {
  switch (call.op) {
    case 'ioctl':
      addIoctl(record, call);
      addReply(record, call);
      break;
    case 'open':
      addKeys(record, { fd: call.fd, kind: call.kind, flags: hexOf(call.flags), path: call.path });
      addReply(record, call);
      break;
    case 'close':
      addKeys(record, { fd: call.fd, kind: call.kind });
      addReply(record, call);
      break;
    case 'mmap':
      addMmap(record, call);
      break;
    case 'munmap':
      addKeys(record, { addr: hexOf(call.addr), len: lengthJson(call.len) });
      addReply(record, call);
      break;
    case 'read':
    case 'pread':
      addKeys(record, { fd: call.fd, kind: call.kind, addr: hexOf(call.addr), len: lengthJson(call.len) });
      addOptional(record, 'off', call.off === null ? null : hexOf(call.off));
      addOptional(record, 'out', bytesJson(call.out));
      addReply(record, call);
      break;
    case 'write':
    case 'pwrite':
      addKeys(record, { fd: call.fd, kind: call.kind, addr: hexOf(call.addr), len: lengthJson(call.len) });
      addOptional(record, 'off', call.off === null ? null : hexOf(call.off));
      addOptional(record, 'arg', bytesJson(call.arg));
      addReply(record, call);
      break;
    case 'fork':
      addKeys(record, { child: call.child });
      addReply(record, call);
      break;
    case 'waitpid':
      addKeys(record, { child: call.child, status: call.status });
      addReply(record, call);
      break;
    case 'call':
      addKeys(record, { generation: call.generation, name: call.name });
      addOptional(record, 'fd', call.fd === -1 ? null : call.fd);
      addKeys(record, { args: call.args });
      addOptional(record, 'out', call.out);
      addReply(record, call);
      break;
    case 'dma':
      addDma(record, call);
      break;
    case 'note':
      record['kind'] = call.kind;
      addKeys(record, call.fields);
      break;
    default:
      addKeys(record, call.fields);
  }
}

function addDma(record: WritableRecord, call: DmaAccess): void {
  record['device'] = call.device;
  addOptional(record, 'pasid', call.pasid === 0 ? null : call.pasid);
  addKeys(record, { iova: hexOf(call.iova), len: call.len, access: call.access });
  addOptional(record, 'result', call.result);
  addOptional(record, 'physical', call.physical === null ? null : hexOf(call.physical));
}

function addIoctl(record: WritableRecord, call: IoctlCall): void {
  addKeys(record, {
    fd: call.fd,
    kind: call.kind,
    cmd: `0x${call.cmd.toString(16)}`,
    argp: hexOf(call.argp),
  });
  addOptional(record, 'arg', call.arg === null ? null : encodeHex(call.arg));
  addOptional(record, 'out', call.out === null ? null : encodeHex(call.out));
  if (call.argFault) record['argfault'] = true;
  record['mem'] = call.mem.map(memoryJson);
  addOptional(record, 'newfd', call.newFd);
}

function addMmap(record: WritableRecord, call: MmapCall): void {
  addKeys(record, { fd: call.fd, kind: call.kind, addr: hexOf(call.addr), len: lengthJson(call.len) });
  addKeys(record, { prot: call.prot, flags: hexOf(call.flags), off: hexOf(call.off) });
  if (call.mapped !== null) addKeys(record, { ret: hexOf(call.mapped), errno: call.errno });
  else if (call.errno !== 0) addKeys(record, { ret: hexOf(U64_LAST), errno: call.errno });
}

/** One user buffer as a capture writes it. */
function memoryJson(buffer: MemoryBuffer): JsonValue {
  const json: WritableRecord = { addr: hexOf(buffer.addr), len: lengthJson(buffer.len), dir: buffer.dir };
  addOptional(json, 'before', bytesJson(buffer.before));
  if (buffer.after !== null && buffer.after === buffer.before) json['same'] = true;
  else addOptional(json, 'after', bytesJson(buffer.after));
  if (buffer.fault) json['fault'] = true;
  if (buffer.cut) json['cut'] = true;
  return buffer.extra === undefined ? json : { ...json, ...buffer.extra };
}

function addReply(record: WritableRecord, call: { replied: boolean; ret: number; errno: number }): void {
  if (!call.replied) return;
  record['ret'] = call.ret;
  record['errno'] = call.errno;
}

function addKeys(record: WritableRecord, keys: Readonly<Record<string, JsonValue>>): void {
  for (const key of Object.keys(keys)) {
    // defineProperty and not an assignment: a key may be named __proto__.
    Object.defineProperty(record, key, {
      value: keys[key],
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
}

function addOptional(record: WritableRecord, key: string, value: JsonValue): void {
  if (value !== null) record[key] = value;
}

function bytesJson(bytes: ByteString | null): JsonValue {
  return bytes === null ? null : encodeByteString(bytes);
}

function lengthJson(length: bigint | number): JsonValue {
  if (Number.isSafeInteger(length)) return length as number;
  const exact = BigInt(length);
  if (exact <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(exact);
  // A length that was rounded up to 2^64 on reading; its exact value is in `extra`, which wins.
  return hexOf(exact > U64_LAST ? U64_LAST : exact);
}
