import type { Context, OpenFile } from '../../src/model/state.ts';
import { buildStruct, CMD, IOMMU_DESTROY, IOMMU_TEST_OP } from '../../src/uapi/index.ts';
import { descriptorsOf, kindOf, type World } from './random-world.ts';

/** Takes back what random calls did, by calls. */

/** Every open descriptor of every process. */
function allDescriptors(world: World): { pid: number; fd: number; file: OpenFile }[] {
  return Object.values(world.session.kernel.state.processes).flatMap((process) =>
    descriptorsOf(world, process).map(({ fd, file }) => ({ pid: process.pid, fd, file })),
  );
}

/** Closes every descriptor, one after another as a number chooses. */
export function closeEverything(world: World, order: number): void {
  const left = allDescriptors(world);
  for (let draw = order; left.length > 0; draw = (draw * 31 + 7) % 65_536) {
    const [{ pid, fd, file }] = left.splice(draw % left.length, 1) as [(typeof left)[number]];
    world.pid = pid;
    world.session.close(fd, kindOf(file));
  }
  unmapDevices(world);
}

/** Mappings of device memory hold the device after its descriptors are closed. */
function unmapDevices(world: World): void {
  const { state } = world.session.kernel;
  for (const { pid, mm } of Object.values(state.processes)) {
    world.pid = pid;
    for (const { firstPage, lastPage } of state.windows.filter((each) => each.mm === mm && each.file !== 0))
      world.session.munmap(BigInt(firstPage) * 4096n, BigInt(lastPage - firstPage + 1) * 4096n);
  }
}

/**
 * Closes access objects and queues, detaches every PASID, and destroys objects until none is left or none
 * goes any more.
 */
export function destroyEverything(world: World): void {
  for (const { pid, fd, file } of allDescriptors(world)) {
    if (file.kind === 'iommufd') continue;
    world.pid = pid;
    world.session.close(fd, kindOf(file));
  }
  unmapDevices(world);
  for (const { pid, fd, file } of allDescriptors(world)) {
    const context = world.session.kernel.state.contexts[file.context];
    if (file.kind !== 'iommufd' || context === undefined) continue;
    world.pid = pid;
    empty(world, fd, context);
  }
}

function empty(world: World, fd: number, context: Context): void {
  const { session } = world;
  for (const object of Object.values(context.objects)) {
    if (object.type !== 'selftest') continue;
    const device = context.objects[object.device];
    const group = device?.type === 'device' ? context.groups[device.group] : undefined;
    for (const pasid of Object.keys(group?.slots ?? {}).map(Number)) {
      if (pasid !== 0) session.selftest(fd, IOMMU_TEST_OP.PASID_DETACH, object.id, { pasid });
    }
  }
  for (let before = -1; before !== Object.keys(context.objects).length; ) {
    before = Object.keys(context.objects).length;
    // The youngest first: what was made later uses what was made before.
    for (const id of Object.keys(context.objects).map(Number).reverse()) {
      if (context.objects[id] === undefined) continue;
      session.ioctl(fd, CMD.IOMMU_DESTROY, buildStruct(IOMMU_DESTROY, { id }));
    }
  }
}
