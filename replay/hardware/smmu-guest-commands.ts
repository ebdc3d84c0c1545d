import type { IoctlCall } from '../../src/trace/index.ts';
import { commandOf, OPCODE, type SmmuCommand, sync, type TagId } from './smmu-commands.ts';
import { bits, field, unknownField, word } from './smmu-words.ts';

/** Commands of a guest, given to HWPT_INVALIDATE: arm_vsmmu_cache_invalidate of arm-smmu-v3-iommufd.c. */

export interface GuestCommand {
  readonly first: bigint;
  readonly second: bigint;
}

export interface GuestQueue {
  /** VMID of the vIOMMU's nest parent. */
  readonly vmid: TagId;
  /** Physical stream id of a vDEVICE; null when the vIOMMU has none of this virtual id. */
  streamOf(virtualId: number): number | null;
}

/** Commands are issued in blocks of so many, each with a SYNC (CMDQ_BATCH_ENTRIES less one). */
const BLOCK = 63;
const VMID = [47, 32] as const;
const STREAM = [63, 32] as const;
const BY_VMID: ReadonlySet<number> = new Set([
  OPCODE.TLBI_NH_VA,
  OPCODE.TLBI_NH_VAA,
  OPCODE.TLBI_NH_ALL,
  OPCODE.TLBI_NH_ASID,
]);
const BY_STREAM: ReadonlySet<number> = new Set([OPCODE.ATC_INV, OPCODE.CFGI_CD, OPCODE.CFGI_CD_ALL]);

/**
 * What the kernel queues for a guest's commands. One that it refuses ends it: the full blocks before it have
 * been issued by then, the rest of its own block has not.
 */
export function queueGuestCommands(commands: readonly GuestCommand[], queue: GuestQueue): SmmuCommand[] {
  const queued: SmmuCommand[] = [];
  let block: SmmuCommand[] = [];
  for (const [at, command] of commands.entries()) {
    const converted = convert(command, queue);
    if (converted === null) return queued;
    block.push(converted);
    if (block.length < BLOCK && at + 1 < commands.length) continue;
    queued.push(...block, sync());
    block = [];
  }
  return queued;
}

/** arm_vsmmu_convert_user_cmd: null when a guest may not give this command. */
function convert({ first, second }: GuestCommand, queue: GuestQueue): SmmuCommand | null {
  const opcode = Number(first & 0xffn);
  if (opcode === OPCODE.TLBI_NSNH_ALL) return tagged(BigInt(OPCODE.TLBI_NH_ALL), 0n, queue.vmid);
  if (BY_VMID.has(opcode)) return tagged(first, second, queue.vmid);
  if (!BY_STREAM.has(opcode)) return null;
  const stream = queue.streamOf(Number(first >> 32n));
  return stream === null ? null : commandOf((first & ~bits(...STREAM)) | field(stream, ...STREAM), second);
}

function tagged(first: bigint, second: bigint, vmid: TagId): SmmuCommand {
  const { name } = commandOf(first, second);
  const own = (first & ~bits(...VMID)) | field(vmid ?? 0, ...VMID);
  const unknown = vmid === null ? unknownField('VMID', ...VMID) : null;
  return { name, words: [word(own, unknown), word(second)] };
}

const COMMAND_BYTES = 16;
const DATA_UPTR = 8;
const ENTRY_LEN = 20;
const ENTRY_NUM = 24;

/** The commands that an HWPT_INVALIDATE points to; null when the trace does not hold their bytes. */
export function guestCommands(call: Pick<IoctlCall, 'arg' | 'mem'>): GuestCommand[] | null {
  const entries = guestEntries(call, COMMAND_BYTES);
  return (
    entries?.map((entry) => ({
      first: entry.getBigUint64(0, true),
      second: entry.getBigUint64(8, true),
    })) ?? null
  );
}

/** The entries of an HWPT_INVALIDATE as structs of so many bytes; null when the trace does not hold them. */
export function guestEntries(
  { arg, mem }: Pick<IoctlCall, 'arg' | 'mem'>,
  structBytes: number,
): DataView[] | null {
  if (arg === null) return null;
  const struct = new DataView(arg.buffer, arg.byteOffset, arg.length);
  const at = struct.getBigUint64(DATA_UPTR, true);
  const entryBytes = struct.getUint32(ENTRY_LEN, true);
  const count = struct.getUint32(ENTRY_NUM, true);
  const bytes = mem.find(({ addr }) => addr === at)?.before;
  if (!(bytes instanceof Uint8Array) || entryBytes === 0 || bytes.length < entryBytes * count) return null;
  return Array.from({ length: count }, (_, index) => {
    // A shorter entry is one whose rest is zero.
    const own = new Uint8Array(structBytes);
    own.set(bytes.subarray(index * entryBytes, index * entryBytes + Math.min(entryBytes, structBytes)));
    return new DataView(own.buffer);
  });
}
