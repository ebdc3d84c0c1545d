import {
  type Call,
  callToRecord,
  encodeHex,
  type IoctlCall,
  type JsonValue,
  type MmapCall,
  type PartialNote,
  partialJson,
} from '../src/trace/index.ts';
import { recordKindOf, whatOf, whatOfIoctl } from './record-kinds.ts';
import * as at from './row.ts';

/** Turns calls into rows. The row is reused: bind it before the next call is encoded. */
export type RowEncoder = (call: Call) => at.Row;

/** Makes an encoder with its own scratch memory. */
export function createRowEncoder(): RowEncoder {
  const row: at.Row = new Array<null>(at.COLUMN_COUNT).fill(null);
  const argWords = createWords();
  const outWords = createWords();
  const readOnly: ReadOnlyMapping[] = [];
  return (call) => {
    row.fill(null);
    row[at.SEQ] = call.seq;
    row[at.PID] = call.pid;
    if (call.tid !== null || call.tNs !== null || call.extra !== null) row[at.META] = metaOf(call);
    if (call.op === 'mmap') noteReadOnly(readOnly, call);
    if (call.op === 'ioctl') encodeIoctl(row, call, argWords, outWords, isInside(readOnly, call));
    else encodeOther(row, call);
    return row;
  };
}

/** A mapping of the program's own that it can not write to; `end` is exclusive. */
interface ReadOnlyMapping {
  readonly start: bigint;
  readonly end: bigint;
}

const PROT_WRITE = 2;

function noteReadOnly(readOnly: ReadOnlyMapping[], { mapped, len, prot }: MmapCall): void {
  if (mapped !== null && (prot & PROT_WRITE) === 0) readOnly.push({ start: mapped, end: mapped + len });
}

/**
 * A replay does without the address of a struct, except where the kernel's answer depends on it: a struct in
 * read-only memory can not be written back.
 */
function isInside(readOnly: readonly ReadOnlyMapping[], { argp }: IoctlCall): boolean {
  return readOnly.length > 0 && readOnly.some(({ start, end }) => argp >= start && argp < end);
}

function metaOf({ tid, tNs, extra }: Call): string {
  const kept = extra === null ? '' : `"extra":${extraText(extra)}`;
  // Put together here, because JSON.stringify takes longer than the rest of a row.
  let text = tid === null ? '' : `"tid":${tid}`;
  if (tNs !== null) text += `${text === '' ? '' : ','}"t_ns":${tNs}`;
  if (kept !== '') text += `${text === '' ? '' : ','}${kept}`;
  return `{${text}}`;
}

/** Most often it is the time that a call took, and nothing else. */
function extraText(extra: NonNullable<Call['extra']>): string {
  let keys = 0;
  for (const _ in extra) keys += 1;
  const took = extra['dt_ns'];
  return keys === 1 && Number.isSafeInteger(took) ? `{"dt_ns":${took}}` : JSON.stringify(extra);
}

/** The reply as one column; what that cannot hold is returned to go to `more`. */
function encodeReply(row: at.Row, call: { replied: boolean; ret: number; errno: number }): JsonValue {
  if (!call.replied) return null;
  row[at.RC] = call.ret >= 0 ? call.ret : -call.errno;
  const isPlain = call.ret >= 0 ? call.errno === 0 : call.ret === -1 && call.errno > 0;
  return isPlain ? null : [call.ret, call.errno];
}

function encodeIoctl(
  row: at.Row,
  call: IoctlCall,
  argWords: Words,
  outWords: Words,
  keepsAddress: boolean,
): void {
  row[at.WHAT] = whatOfIoctl(call.kind);
  row[at.FD] = call.fd;
  row[at.CMD] = call.cmd;
  const reply = encodeReply(row, call);
  const structs = encodeStructs(row, call, argWords, outWords);
  const plain = reply === null && structs === null && call.mem.length === 0 && call.newFd === null;
  if (plain && !call.argFault && !keepsAddress && call.partial === undefined) return;
  if (plain && !call.argFault && !keepsAddress) {
    row[at.MORE] = partialText(call.partial!);
    return;
  }
  const more: Record<string, JsonValue> = { ...structs };
  // Buffers stand as a capture writes them, so that reading a row and reading a capture share one decoder.
  if (call.mem.length > 0) more['mem'] = callToRecord(call)['mem']!;
  // A replay does without the address of the struct, unless the answer depends on it.
  if (keepsAddress || reachesStruct(call)) more['argp'] = `0x${call.argp.toString(16)}`;
  if (call.newFd !== null) more['newfd'] = call.newFd;
  if (call.argFault) more['argfault'] = true;
  if (call.partial !== undefined) more['partial'] = partialJson(call.partial);
  if (reply !== null) more['reply'] = reply;
  row[at.MORE] = JSON.stringify(more);
}

/** Notes of calls that were recorded in part: a log has few different ones, and many calls. */
const PARTIAL_TEXTS = new WeakMap<PartialNote, string>();

function partialText(partial: PartialNote): string {
  const known = PARTIAL_TEXTS.get(partial);
  if (known !== undefined) return known;
  const text = JSON.stringify({ partial: partialJson(partial) });
  PARTIAL_TEXTS.set(partial, text);
  return text;
}

/** Whether a buffer that the struct points to was recorded at such a length that the struct lies in it. */
function reachesStruct({ arg, argp, mem }: IoctlCall): boolean {
  if (arg === null) return false;
  const end = argp + BigInt(arg.length);
  return mem.some(({ addr, len }) => addr < end && argp < addr + BigInt(len));
}

/** Puts the struct into the words; what does not fit is returned to go to `more`. */
function encodeStructs(
  row: at.Row,
  call: IoctlCall,
  argWords: Words,
  outWords: Words,
): Record<string, JsonValue> | null {
  const { arg, out } = call;
  if (arg === null) {
    row[at.W0] = at.columnOf(call.argp);
    return out === null ? null : { out: encodeHex(out) };
  }
  row[at.ARGP] = at.columnOf(call.argp);
  row[at.LEN] = arg.length;
  const fits = arg.length <= at.HOT_BYTES_MAX;
  if (fits) {
    load(argWords, arg);
    for (let word = 0; word * 8 < arg.length; word++)
      row[at.W0 + word] = at.readWord(argWords.view, word * 8);
  }
  const changed = encodeOut(row, arg, out, argWords, outWords);
  if (fits && !changed) return null;
  return { ...(fits ? {} : { arg: encodeHex(arg) }), ...(changed ? { out: encodeHex(out!) } : {}) };
}

/** Says whether `out` has to be written out in full. */
function encodeOut(
  row: at.Row,
  arg: Uint8Array,
  out: Uint8Array | null,
  argWords: Words,
  outWords: Words,
): boolean {
  if (out === arg) return false;
  if (out === null) {
    row[at.OW] = at.NO_OUT;
    return false;
  }
  if (out.length !== arg.length || arg.length > at.HOT_BYTES_MAX) return !isEqual(arg, out);
  load(outWords, out);
  let changedWord = -1;
  for (let word = 0; word * 8 < arg.length; word++) {
    const offset = word * 8;
    const isSame =
      argWords.view.getInt32(offset) === outWords.view.getInt32(offset) &&
      argWords.view.getInt32(offset + 4) === outWords.view.getInt32(offset + 4);
    if (isSame) continue;
    if (changedWord !== -1) return true;
    changedWord = word;
  }
  if (changedWord === -1) return false;
  row[at.OW] = changedWord;
  row[at.OV] = at.readWord(outWords.view, changedWord * 8);
  return false;
}

/** Room for the words of a struct. */
interface Words {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

function createWords(): Words {
  const bytes = new Uint8Array(at.HOT_BYTES_MAX);
  return { bytes, view: new DataView(bytes.buffer) };
}

function load({ bytes: target }: Words, bytes: Uint8Array): void {
  for (let index = 0; index < bytes.length; index++) target[index] = bytes[index]!;
  // The last word is zero-extended: nothing of an earlier struct may show.
  for (let index = bytes.length; index < at.HOT_BYTES_MAX; index++) target[index] = 0;
}

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}

function encodeOther(row: at.Row, call: Exclude<Call, IoctlCall>): void {
  const record = callToRecord({ ...call, tid: null, tNs: null, extra: null });
  delete record['seq'];
  delete record['pid'];
  delete record['op'];
  const what = whatOf(call.op, 'kind' in call ? call.kind : null);
  row[at.WHAT] = what;
  if ('kind' in call && recordKindOf(what)!.kind === call.kind) delete record['kind'];
  if ('fd' in call) {
    row[at.FD] = call.fd;
    delete record['fd'];
  }
  if ('replied' in call) {
    delete record['ret'];
    delete record['errno'];
    const reply = encodeReply(row, call);
    if (reply !== null) record['reply'] = reply;
  }
  if (Object.keys(record).length > 0) row[at.MORE] = JSON.stringify(record);
}
