import { CMD, IOMMU_TEST_OP, VFIO_FEATURE, VFIO_FEATURE_FLAGS } from '../../uapi/index.ts';
import type { IoctlCall } from '../call.ts';
import { linksOfIovas } from './iova-links.ts';
import type { CallLinks, Link, Resource } from './resource.ts';
import { type Site, sitesOf, valueAt, wordAt } from './site.ts';
import {
  type ContextIds,
  chosenIovasOf,
  type Descriptor,
  linkTo,
  linkToAddress,
  newContext,
  newResource,
  openDescriptor,
  type TracedProcess,
  type World,
} from './world.ts';

const EBADF = 9;
const FD_LAST = 0x7fff_ffff;
const KIND_OF_FD_FIELD: Readonly<Record<string, string>> = {
  out_access_fd: 'access',
  out_fault_fd: 'fault',
  out_veventq_fd: 'veventq',
  data_fd: 'migration',
  iommufd: 'iommufd',
  container_fd: 'container',
};

/** Links of an ioctl, and what it does to the tables. */
export function linksOfIoctl(world: World, process: TracedProcess, call: IoctlCall): CallLinks {
  const uses: Link[] = [];
  const gives: Link[] = [];
  const ends: Resource[] = [];
  const succeeded = call.replied && call.ret !== -1;
  const on = usedDescriptor(world, process, call.fd, call.kind, call.errno !== EBADF);
  if (on !== null) uses.push(linkTo(on.resource, { at: 'fd' }));
  const sites = sitesOf(call);
  let context = on?.context ?? null;
  let access: Descriptor | null = on;
  for (const site of sites) {
    if (call.arg === null || site.dir === 'out' || site.role === 'iova') continue;
    const value = valueAt(call.arg, site);
    if (site.role === 'address') {
      uses.push(...linkToAddress(process, value, { at: 'struct', site }));
      continue;
    }
    if (site.role === 'descriptor') {
      const kind = KIND_OF_FD_FIELD[site.field] ?? (site.field === 'id' ? 'access' : 'eventfd');
      const named = value > FD_LAST ? null : usedDescriptor(world, process, Number(value), kind, succeeded);
      if (named === null) continue;
      uses.push(linkTo(named.resource, { at: 'struct', site }));
      if (site.field === 'id') access = named;
      // BIND and SET_CONTAINER: from here on the ids are those of the context that is named.
      if (site.field === 'iommufd' || site.field === 'container_fd') context = named.context;
      continue;
    }
    const resource = usedNumber(world, site, Number(value), context, access, succeeded);
    if (resource !== null) uses.push(linkTo(resource, { at: 'struct', site }));
  }
  for (const [index, buffer] of call.mem.entries())
    uses.push(...linkToAddress(process, buffer.addr, { at: 'mem', index }));
  if (succeeded) {
    if (on !== null) adoptContext(call, on, context);
    for (const site of sites) {
      if (call.out === null || site.dir === 'in' || site.role === 'address' || site.role === 'iova') continue;
      gives.push(...givenAt(world, process, call, site, call.out, context, access));
    }
    gives.push(...givenBeside(world, process, call, context));
    if (call.cmd === CMD.IOMMU_DESTROY && call.arg !== null) {
      const gone = context?.objects.get(wordAt(call.arg, 4, 4));
      if (gone !== undefined) ends.push(gone);
    }
  }
  if (succeeded) shareIovas(world, uses, gives);
  const iovas = linksOfIovas(world, call, uses, sites, succeeded);
  return { uses: [...uses, ...iovas.uses], gives: [...gives, ...iovas.gives], ends, begins: null };
}

/** A page table or access has the IOVAs of the IOAS, or the page table, that it was made for. */
function shareIovas(world: World, uses: readonly Link[], gives: readonly Link[]): void {
  const owner = uses.find(({ resource: { kind } }) => kind === 'ioas' || kind === 'hwpt');
  if (owner === undefined) return;
  const iovas = chosenIovasOf(world, owner.resource);
  for (const { resource } of gives)
    if (resource.kind === 'hwpt' || resource.kind === 'access') world.chosenIovas.set(resource.index, iovas);
  // An access that is moved to another IOAS.
  for (const { resource } of uses)
    if (resource.kind === 'access') world.chosenIovas.set(resource.index, iovas);
}

/** The descriptor of a number; one that is used without having been opened was there before. */
function usedDescriptor(
  world: World,
  process: TracedProcess,
  fd: number,
  kind: string,
  exists: boolean,
): Descriptor | null {
  if (fd < 0) return null;
  const known = process.descriptors.get(fd);
  if (known !== undefined) return known;
  if (!exists) return null;
  return openDescriptor(world, process, kind, fd, null, newContext(kind));
}

/** A device is bound to a context, and a group put in a container, by a call that names it. */
function adoptContext(call: IoctlCall, on: Descriptor, context: ContextIds | null): void {
  const binds =
    (call.kind === 'device' && call.cmd === CMD.VFIO_DEVICE_BIND_IOMMUFD) ||
    (call.kind === 'group' && call.cmd === CMD.VFIO_GROUP_SET_CONTAINER);
  if (binds) on.context = context;
}

function usedNumber(
  world: World,
  site: Site,
  value: number,
  context: ContextIds | null,
  access: Descriptor | null,
  exists: boolean,
): Resource | null {
  const table = site.role === 'object' ? context?.objects : access?.numbers;
  // 0 is the id of nothing: an option of the context, a fault queue that is not wanted.
  if (table === undefined || value === 0) return null;
  const known = table.get(value);
  if (known !== undefined) return known;
  // A number that nobody gave and that the kernel refuses names nothing.
  if (!exists || site.dir !== 'in') return null;
  const resource = newResource(
    world,
    site.role === 'object' ? 'object' : 'access-pages',
    kindOf(site),
    BigInt(value),
    null,
  );
  table.set(value, resource);
  return resource;
}

function givenAt(
  world: World,
  process: TracedProcess,
  call: IoctlCall,
  site: Site,
  out: Uint8Array,
  context: ContextIds | null,
  access: Descriptor | null,
): Link[] {
  const value = Number(valueAt(out, site));
  const place = { at: 'struct', site } as const;
  if (site.role === 'descriptor') {
    if (value > FD_LAST) return [];
    const kind = KIND_OF_FD_FIELD[site.field] ?? '?';
    return [linkTo(openDescriptor(world, process, kind, value, call.seq, context).resource, place)];
  }
  const table = site.role === 'object' ? context?.objects : access?.numbers;
  if (table === undefined || value === 0) return [];
  const known = table.get(value);
  if (known !== undefined && site.mayBeKnown) return [linkTo(known, place)];
  const type = site.role === 'object' ? 'object' : 'access-pages';
  const resource = newResource(world, type, kindOf(site), BigInt(value), call.seq);
  table.set(value, resource);
  return [linkTo(resource, place)];
}

/** Descriptors that come as the return value, or beside it. */
function givenBeside(
  world: World,
  process: TracedProcess,
  call: IoctlCall,
  context: ContextIds | null,
): Link[] {
  const links: Link[] = [];
  const kind = kindOfReturned(call);
  if (kind !== null && call.ret >= 0)
    links.push(
      linkTo(openDescriptor(world, process, kind, call.ret, call.seq, context).resource, { at: 'ret' }),
    );
  if (call.newFd !== null && call.newFd >= 0)
    links.push(
      linkTo(openDescriptor(world, process, '?', call.newFd, call.seq, context).resource, { at: 'newfd' }),
    );
  return links;
}

function kindOfReturned({ kind, cmd, arg }: IoctlCall): string | null {
  if (kind === 'group' && cmd === CMD.VFIO_GROUP_GET_DEVICE_FD) return 'device';
  if (arg === null) return null;
  if (kind === 'iommufd' && cmd === CMD.IOMMU_TEST_CMD && wordAt(arg, 4, 4) === IOMMU_TEST_OP.DMABUF_GET)
    return 'dmabuf';
  const isDmabuf = (wordAt(arg, 4, 4) & 0xffff) === VFIO_FEATURE.DMA_BUF;
  const isGet = (wordAt(arg, 4, 4) & VFIO_FEATURE_FLAGS.GET) !== 0;
  return kind === 'device' && cmd === CMD.VFIO_DEVICE_FEATURE && isDmabuf && isGet ? 'dmabuf' : null;
}

/** `pt` is answered as the HWPT that the kernel chose. */
function kindOf({ role, refers }: Site): string {
  if (role === 'access-pages') return 'pages';
  return refers === 'pt' ? 'hwpt' : refers;
}
