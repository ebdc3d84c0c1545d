import {
  VFIO_BIND_FLAGS,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '../../uapi/index.ts';
import { about, type Check, type Condition, inOrder, numberIn, when } from './check.ts';
import * as if_ from './conditions.ts';
import { ANSWER, attach, replace } from './shared.ts';
import { attachesIoas, recordedBelow, replaces, vfioDeviceIn, viaGroup } from './vfio-conditions.ts';

/** Binding and attaching by a device's own descriptor: device_cdev.c, iommufd.c of vfio. */

const SIZE_BYTES = 4;
const hasCdev: Condition = ({ kernel }) => kernel.profile.has.vfioCdev;
const takesGrowing: Condition = ({ kernel }) => kernel.profile.has.vfioToken;
const tokenGiven: Condition = (facts) => (numberIn(facts, 'flags') & VFIO_BIND_FLAGS.TOKEN) !== 0;
const pasidGiven: Condition = (facts) => numberIn(facts, 'flags') !== 0;

const isBelow =
  (bytes: number): Condition =>
  (facts) =>
    numberIn(facts, 'argsz') < bytes;

const BIND_LEAST = VFIO_DEVICE_BIND_IOMMUFD.minBytes;

const BIND = inOrder(
  when(
    if_.not(takesGrowing),
    about('struct', 'vfio-struct-unreadable'),
    about('argsz or flags', 'vfio-device-argsz-or-flags'),
  ),
  when(
    takesGrowing,
    about('size', 'vfio-struct-unreadable', recordedBelow(SIZE_BYTES)),
    about('argsz', 'vfio-device-argsz-or-flags', isBelow(BIND_LEAST)),
    'struct-tail-not-zero',
    about('struct', 'vfio-struct-unreadable', if_.not(recordedBelow(SIZE_BYTES))),
    about('flags', 'vfio-device-argsz-or-flags', if_.not(isBelow(BIND_LEAST))),
  ),
  'bind-through-group',
  'bind-while-group-open',
  'device-bound-twice',
  when(tokenGiven, about('token_uuid_ptr', 'user-buffer-fault'), 'bind-token-not-needed'),
  'bind-descriptor-not-open',
  'bind-descriptor-no-iommufd',
  'device-open-elsewhere',
  'group-owned-elsewhere',
  ANSWER,
);

/** The struct of ATTACH or DETACH, and the PASID behind it when the flag says so. */
function pasidStruct(least: number, withPasid: number): readonly Check[] {
  // What is wrong with the first part, else with the second.
  const isFirst: Condition = (facts) => isBelow(least)(facts) || !pasidGiven(facts) || hasOtherFlag(facts);
  return inOrder(
    about('struct', 'vfio-struct-unreadable', recordedBelow(least)),
    about('argsz or flags', 'vfio-device-argsz-or-flags', isFirst),
    when(
      pasidGiven,
      about('argsz with PASID', 'vfio-device-argsz-or-flags', (facts) => isBelow(withPasid)(facts)),
      about('pasid', 'vfio-struct-unreadable', if_.not(recordedBelow(least))),
    ),
  );
}

const hasOtherFlag: Condition = (facts) =>
  !facts.kernel.profile.has.vfioPasid || (numberIn(facts, 'flags') & ~1) !== 0;

/** Before anything else of a device; a descriptor from a group has no such command. */
const BOUND = inOrder('vfio-device-not-bound', when(viaGroup, 'vfio-device-unknown-command'));

/** The PASID is new to VFIO, which keeps those that are attached. */
const isNewPasid: Condition = (facts) =>
  !(vfioDeviceIn(facts)?.pasids.includes(numberIn(facts, 'pasid')) ?? false);

export const VFIO_DEVICE_ORDER: Readonly<Record<string, readonly Check[]>> = {
  'VFIO_DEVICE_BIND_IOMMUFD on a device': inOrder(
    when(hasCdev, BIND),
    when(if_.not(hasCdev), 'vfio-device-not-bound', 'vfio-device-unknown-command'),
  ),
  'VFIO_DEVICE_ATTACH_IOMMUFD_PT on a device': inOrder(
    BOUND,
    pasidStruct(12, VFIO_DEVICE_ATTACH_IOMMUFD_PT.sizeBytes),
    when(pasidGiven, when(isNewPasid, 'vfio-pasid-out-of-range')),
    when(if_.not(replaces), attach(attachesIoas)),
    when(replaces, replace(attachesIoas)),
    ANSWER,
  ),
  'VFIO_DEVICE_DETACH_IOMMUFD_PT on a device': inOrder(
    BOUND,
    pasidStruct(8, VFIO_DEVICE_DETACH_IOMMUFD_PT.sizeBytes),
  ),
};
