import { type ReplayResult, replayTrace } from '../../replay/index.ts';
import type { Call, IoctlCall } from '../../src/trace/index.ts';
import {
  buildStruct,
  CMD,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
} from '../../src/uapi/index.ts';
import { type Session, startSession, u32At, u64At } from './session.ts';
import { type Recording, withStored } from './stored.ts';

/** Good traces, and one edited field in them. */

export const AUTOMATIC = 6;
export const FIXED = 7;
export const PAGE = 4096n;
export const USER = 0x7f0000000000n;

export const replay = (recording: Recording): ReplayResult => withStored(recording, replayTrace);

/** The recording with one call changed. */
export function edited(recording: Recording, seq: number, change: (call: Call) => Call): Recording {
  return { ...recording, calls: recording.calls.map((call) => (call.seq === seq ? change(call) : call)) };
}

export function editedIoctl(
  recording: Recording,
  seq: number,
  change: (call: IoctlCall) => Partial<IoctlCall>,
): Recording {
  return edited(recording, seq, (call) => {
    if (call.op !== 'ioctl') throw new Error(`call ${seq} is no ioctl`);
    return { ...call, ...change(call) };
  });
}

/** Bytes with a little-endian number written over them. */
export function withNumber(bytes: Uint8Array | null, at: number, value: number | bigint): Uint8Array {
  const copy = Uint8Array.from(bytes!);
  const view = new DataView(copy.buffer);
  if (typeof value === 'bigint') view.setBigUint64(at, value, true);
  else view.setUint32(at, value, true);
  return copy;
}

export function allocIoas(session: Session): number {
  return u32At(session.ioctl(3, CMD.IOMMU_IOAS_ALLOC, buildStruct(IOMMU_IOAS_ALLOC, {})).out, 8);
}

export function map(session: Session, ioas_id: number, iova: bigint, flags = FIXED, length = PAGE): bigint {
  const request = buildStruct(IOMMU_IOAS_MAP, { flags, ioas_id, user_va: USER, length, iova });
  return u64At(session.ioctl(3, CMD.IOMMU_IOAS_MAP, request).out, 32);
}

export function unmap(session: Session, ioas_id: number, iova: bigint, length = PAGE): number {
  const request = buildStruct(IOMMU_IOAS_UNMAP, { ioas_id, iova, length });
  return session.ioctl(3, CMD.IOMMU_IOAS_UNMAP, request).errno;
}

export function opened(): Session {
  const session = startSession();
  session.open(3);
  return session;
}
