import type { OpenCall } from '../trace/index.ts';
import type { Kernel } from './kernel.ts';

/** What an open asks for, by kind and path. */
export interface OpenTarget {
  readonly kind: 'context' | 'container' | 'group' | 'device' | 'other';
  /** Group id, or index of the device in the machine. */
  readonly index: number;
}

export function openTarget({ machine, servesContainers }: Kernel, { kind, path }: OpenCall): OpenTarget {
  if (kind === 'iommufd' || (kind === 'container' && servesContainers)) return { kind: 'context', index: 0 };
  if (kind === 'container') return { kind: 'container', index: 0 };
  const group = /^\/dev\/vfio\/(\d+)$/.exec(path);
  if (kind === 'group' && group !== null) return { kind: 'group', index: Number(group[1]) };
  const device = kind === 'device' ? machine.devices.find((each) => each.path === path) : undefined;
  return device === undefined ? { kind: 'other', index: 0 } : { kind: 'device', index: device.index };
}
