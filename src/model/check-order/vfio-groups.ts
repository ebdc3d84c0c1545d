import { type Check, type Condition, fileIn, inOrder, when } from './check.ts';
import * as if_ from './conditions.ts';
import { ANSWER, attach } from './shared.ts';
import { TYPE1_ATTACH } from './type1.ts';
import { attachesIoas, inContainer } from './vfio-conditions.ts';

/** /dev/vfio/N: group.c of vfio. */

/** SET_CONTAINER names a classic container. */
const givesContainer: Condition = ({ kernel, call, descriptors }) => {
  if (call.op !== 'ioctl' || call.arg === null || call.arg.length < 4) return false;
  const fd = new DataView(call.arg.buffer, call.arg.byteOffset).getInt32(0, true);
  return kernel.state.files[descriptors[fd] ?? 0]?.kind === 'container';
};

/** The group has a container whose IOMMU type is set: it is attached at once. */
const hasIommu: Condition = (facts) => {
  const { call, kernel, descriptors } = facts;
  if (call.op !== 'ioctl' || call.arg === null || call.arg.length < 4) return false;
  const fd = new DataView(call.arg.buffer, call.arg.byteOffset).getInt32(0, true);
  const key = kernel.state.files[descriptors[fd] ?? 0]?.object ?? 0;
  return kernel.state.vfio.containers[key]?.iommu != null;
};

const inContext: Condition = (facts) => {
  const file = fileIn(facts);
  return file?.kind === 'group' && (facts.kernel.state.vfio.groups[file.object]?.context ?? 0) !== 0;
};

export const VFIO_GROUP_ORDER: Readonly<Record<string, readonly Check[]>> = {
  'open of a group': inOrder('group-open-elsewhere'),
  'VFIO_GROUP_GET_STATUS on a group': inOrder('vfio-struct-unreadable', 'group-status-argsz', ANSWER),
  'VFIO_GROUP_SET_CONTAINER on a group': inOrder(
    'vfio-struct-unreadable',
    'container-not-open',
    'group-has-container',
    when(givesContainer, 'group-owned-elsewhere', when(hasIommu, TYPE1_ATTACH)),
    when(if_.not(givesContainer), 'container-descriptor-of-wrong-kind'),
  ),
  'VFIO_GROUP_UNSET_CONTAINER on a group': inOrder('group-without-container', 'group-container-in-use'),
  'VFIO_GROUP_GET_DEVICE_FD on a group': inOrder(
    'vfio-struct-unreadable',
    'group-has-no-such-device',
    'device-name-option-unknown',
    'group-without-container',
    when(inContainer, 'container-without-iommu'),
    // The first descriptor of the device binds it and attaches it to the IOAS of VFIO.
    when(inContext, 'group-owned-elsewhere', 'no-compat-ioas', attach(attachesIoas)),
  ),
  'another ioctl of a group': inOrder('group-command-unknown'),
};
