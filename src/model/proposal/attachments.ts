import type { GuestPasid } from '../ioasid/index.ts';
import type { AttachedDevice, Attachment, Ioas } from './state.ts';

/**
 * The attachments of one address space, by device and PASID: a guest may attach hundreds of PASIDs of one
 * device, and each attach and detach looks for one.
 */

/** Whether anything of a device is attached to the address space. */
export function isOn({ devices }: Ioas, device: string): boolean {
  return devices[device] !== undefined;
}

/** Names of the devices that are attached, each once. */
export function devicesOn({ devices }: Ioas): readonly string[] {
  return Object.keys(devices);
}

/** The attachment of a device under a PASID of the guest, or (null) that of its default address space. */
export function findAttachment(
  { devices }: Ioas,
  device: string,
  guest: GuestPasid | null,
): Attachment | undefined {
  const on = devices[device];
  if (on === undefined) return undefined;
  return guest === null ? (on.default ?? undefined) : on.byPasid[guest];
}

/** All attachments: by device as they came, the default one first, then by the guest's PASID. */
export function attachmentsOf({ devices }: Ioas): Attachment[] {
  return Object.values(devices).flatMap(ofDevice);
}

/** Those of one device. */
export function attachmentsOfDevice({ devices }: Ioas, device: string): Attachment[] {
  const on = devices[device];
  return on === undefined ? [] : ofDevice(on);
}

function ofDevice(on: AttachedDevice): Attachment[] {
  const routed = Object.values(on.byPasid);
  return on.default === null ? routed : [on.default, ...routed];
}

/** There is none under this device and PASID yet. */
export function addAttachment(ioas: Ioas, attachment: Attachment): void {
  const { device, guest } = attachment;
  ioas.devices[device] ??= { default: null, byPasid: {}, count: 0 };
  const on = ioas.devices[device];
  if (guest === null) on.default = attachment;
  else on.byPasid[guest] = attachment;
  on.count += 1;
  ioas.attachmentCount += 1;
}

export function removeAttachment(ioas: Ioas, { device, guest }: Attachment): void {
  const on = ioas.devices[device]!;
  if (guest === null) on.default = null;
  else delete on.byPasid[guest];
  on.count -= 1;
  ioas.attachmentCount -= 1;
  if (on.count === 0) delete ioas.devices[device];
}
