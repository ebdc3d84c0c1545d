import { ERRNO, offsetsOf, VFIO_DEVICE_FEATURE, VFIO_FEATURE, VFIO_FEATURE_FLAGS } from '../../uapi/index.ts';
import type { Features } from '../profile.ts';
import type { PciFacts } from './facts.ts';
import { note } from './note-fact.ts';

/** What a recorded DEVICE_FEATURE tells: which features hardware and platform have. */

const FEATURE = offsetsOf(VFIO_DEVICE_FEATURE);
const { GET, SET, PROBE } = VFIO_FEATURE_FLAGS;
const NUMBER = 0xffff;

export function learnFeature(facts: PciFacts, asked: DataView, errno: number, features: Features): number {
  const flags = asked.getUint32(FEATURE.flags, true);
  const isMalformed =
    (flags & ~(NUMBER | GET | SET | PROBE)) !== 0 || (flags & (GET | SET | PROBE)) === (GET | SET);
  if (asked.getUint32(FEATURE.argsz, true) < VFIO_DEVICE_FEATURE.sizeBytes || isMalformed) return 0;
  switch (flags & NUMBER) {
    case VFIO_FEATURE.PCI_VF_TOKEN:
      return note(facts, 'vfToken', errno !== ERRNO.ENOTTY);
    case VFIO_FEATURE.DMA_BUF:
      // ENOTTY is a kernel built without.
      if (!features.pciExportsDmabuf || errno === ERRNO.ENOTTY) return 0;
      return note(facts, 'exportsDmabuf', errno !== ERRNO.EOPNOTSUPP);
    default:
      return 0;
  }
}
