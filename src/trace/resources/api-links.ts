import type { ApiCall } from '../call.ts';
import type { CallLinks, Link } from './resource.ts';
import {
  type ContextIds,
  type Descriptor,
  linkTo,
  newContext,
  newResource,
  openDescriptor,
  type TracedProcess,
  type World,
} from './world.ts';

/**
 * Links of the calls of 2020 and 2021, whose arguments have names: docs/capture-format-calls.md lists them.
 * The numbers of IOASIDs and of their sets are answered as the return value.
 */

const DESCRIPTORS = ['ioasid_fd', 'iommu_fd'] as const;
const IOASIDS = ['ioasid', 'parent_ioasid', 'parent', 'ioas_id', 'id'] as const;
const MAKES_IOASID = /(?:^|_)(?:ALLOC|CREATE_NESTING|alloc|sva_alloc_pasid)$/;
const MAKES_SET = /(?:^|_)set_alloc$/;
/** Sets and IOASIDs are counted apart. */
const SET_KEY = 0x1_0000_0000;

/** Links of a call by name, and what it does to the tables. */
export function linksOfApiCall(world: World, process: TracedProcess, call: ApiCall): CallLinks {
  const uses: Link[] = [];
  const gives: Link[] = [];
  const on = call.fd < 0 ? null : descriptorAt(world, process, call.fd);
  if (on !== null) uses.push(linkTo(on.resource, { at: 'fd' }));
  let context = on?.context ?? null;
  for (const key of DESCRIPTORS) {
    const fd = call.args[key];
    const named = typeof fd === 'number' ? process.descriptors.get(fd) : undefined;
    if (named === undefined) continue;
    uses.push(linkTo(named.resource, { at: 'args', key }));
    context = named.context;
    // A device is bound by a call that names the descriptor; later calls leave it out.
    if (on !== null && on.context === null) on.context = named.context;
  }
  const ids = context ?? world.functionIds;
  for (const key of [...IOASIDS, 'set']) {
    const value = call.args[key];
    const resource = typeof value === 'number' ? ids.objects.get(tableKey(key, value)) : undefined;
    if (resource !== undefined) uses.push(linkTo(resource, { at: 'args', key }));
  }
  const made = madeBy(call);
  if (made !== null) {
    const resource = newResource(world, 'object', made, BigInt(call.ret), call.seq);
    ids.objects.set(tableKey(made === 'ioasid-set' ? 'set' : 'id', call.ret), resource);
    gives.push(linkTo(resource, { at: 'ret' }));
  }
  return { uses, gives, ends: [], begins: null };
}

function tableKey(key: string, value: number): number {
  return key === 'set' ? SET_KEY + value : value;
}

function madeBy({ name, replied, ret, errno }: ApiCall): string | null {
  if (!replied || ret < 0 || errno !== 0) return null;
  if (MAKES_SET.test(name)) return 'ioasid-set';
  return MAKES_IOASID.test(name) ? 'ioasid' : null;
}

function descriptorAt(world: World, process: TracedProcess, fd: number): Descriptor {
  const known = process.descriptors.get(fd);
  if (known !== undefined) return known;
  const context: ContextIds | null = newContext('?');
  return openDescriptor(world, process, '?', fd, null, context);
}
