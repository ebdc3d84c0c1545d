import { type Reason, reason } from '../reason.ts';

/** Errnos with which only hardware or platform explain a failure: a reply told, and so it stays. */

const SOURCE = 'learned from an earlier reply';

const LEARNED: readonly Reason[] = [
  reason('vfio-hardware-invalid', 'EINVAL', SOURCE, 'the hardware refused the same call before'),
  reason('vfio-hardware-absent', 'ENODEV', SOURCE, 'the hardware had none for the same call before'),
  reason('vfio-hardware-busy', 'EBUSY', SOURCE, 'the platform could not share it for the same call before'),
  reason('vfio-hardware-no-reset', 'ENOTTY', SOURCE, 'the hardware failed the same reset before'),
  reason('vfio-hardware-io', 'EIO', SOURCE, 'the hardware failed the same call before'),
];

/** The refusal of a learned errno; null for 0. */
export function learnedRefusal(errno: number): Reason | null {
  if (errno === 0) return null;
  const found = LEARNED.find((one) => one.errno === errno);
  if (found === undefined) throw new Error(`errno ${errno} is never learned`);
  return found;
}

/** Whether a failure with this errno may be taken as a fact of the hardware, or 0 as one that works. */
export function canLearn(errno: number): boolean {
  return errno === 0 || LEARNED.some((one) => one.errno === errno);
}
