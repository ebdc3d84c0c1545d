import {
  buildStruct,
  CMD,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_PAGE_RESP,
} from '../../src/uapi/index.ts';
import {
  DATA,
  type Draws,
  descriptorOf,
  freeDescriptor,
  idOf,
  iovaOf,
  kindOf,
  lengthOf,
  mapFlags,
  openOn,
  type World,
  YES,
} from './random-world.ts';

/** What processes do to themselves and to each other's contexts, and calls on descriptors of other kinds. */

const PROCESSES_MOST = 3;
const CONTEXTS_MOST = 4;
const FILE_BYTES = 16 * 4096;

export const PROCESS_ACTIONS = {
  fork: (world: World) => {
    if (pidsOf(world).length >= PROCESSES_MOST) return;
    const child = world.nextPid;
    world.nextPid += 1;
    world.record({ op: 'fork', ...YES, ret: child, child });
  },
  chooseProcess: (world: World, draws: Draws) => {
    const pids = pidsOf(world);
    world.pid = pids[draws.below(pids.length)]!;
  },
  exit: (world: World, draws: Draws) => {
    const others = pidsOf(world).filter((pid) => pid !== world.pid);
    const child = others[draws.below(Math.max(1, others.length))];
    if (child !== undefined) world.record({ op: 'waitpid', ...YES, ret: child, child, status: 0 });
  },
  openContext: (world: World, draws: Draws) => {
    if (openOn(world, 'iommufd').length >= CONTEXTS_MOST) return;
    const fd = freeDescriptor(world);
    const file = draws.below(3) === 0 ? CONTAINER : IOMMUFD;
    world.record({ op: 'open', ...YES, ...file, ret: fd, fd, flags: 2n });
    world.fd = fd;
  },
  closeContext: (world: World, draws: Draws) => {
    const open = openOn(world, 'iommufd');
    if (open.length > 1) world.session.close(open[draws.below(open.length)]!.fd);
  },
  changeProcess: ({ session, fd }: World) => {
    session.ioctl(fd, CMD.IOMMU_IOAS_CHANGE_PROCESS, buildStruct(IOMMU_IOAS_CHANGE_PROCESS, {}));
  },
  makeFile: (world: World) => {
    if (openOn(world, 'other').length > 2) return;
    const fd = freeDescriptor(world);
    world.record({ op: 'memfd_create', fields: { name: 'random', flags: 0, ret: fd, errno: 0 } });
    world.record({ op: 'ftruncate', fields: { fd, len: FILE_BYTES, ret: 0, errno: 0 } });
  },
  closeFile: (world: World) => {
    const [file] = openOn(world, 'other');
    if (file !== undefined) world.session.close(file.fd, kindOf(file.file));
  },
  mapFile: (world: World, draws: Draws) => {
    const kind = draws.below(2) === 0 ? 'dmabuf' : 'other';
    const [ioas_id, fd] = [idOf(world, draws, 'ioas'), descriptorOf(world, draws, kind)];
    const range = { start: BigInt(draws.below(18)) * 4096n, length: lengthOf(draws), iova: iovaOf(draws) };
    const request = buildStruct(IOMMU_IOAS_MAP_FILE, { flags: mapFlags(draws), ioas_id, fd, ...range });
    world.session.ioctl(world.fd, CMD.IOMMU_IOAS_MAP_FILE, request);
  },
  /** A pointer that is none, on any descriptor that takes calls. */
  badPointer: (world: World, draws: Draws) => {
    const open = openOn(world, 'iommufd', 'access', 'fault', 'veventq');
    const chosen = open[draws.below(Math.max(1, open.length))];
    if (chosen === undefined) return;
    const cmd = draws.below(4) === 0 ? 0x3b64 + draws.below(0x10) : 0x3b80 + draws.below(0x22);
    const nowhere = { argp: 8n, argFault: true, arg: null, out: null, mem: [], newFd: null };
    world.record({ op: 'ioctl', ...YES, fd: chosen.fd, kind: kindOf(chosen.file), cmd, ...nowhere });
  },
  answerFault: (world: World, draws: Draws) => {
    const fd = descriptorOf(world, draws, 'fault');
    const arg = new Uint8Array(8 * (1 + draws.below(2)));
    const view = new DataView(arg.buffer);
    for (let at = 0; at < arg.length; at += 8) {
      view.setUint32(at, draws.below(4), true);
      view.setUint32(at + 4, draws.below(4) === 0 ? 7 : IOMMU_PAGE_RESP.SUCCESS, true);
    }
    const isQueue = openOn(world, 'fault').some((each) => each.fd === fd);
    if (!isQueue) return;
    world.record({ op: 'write', ...YES, fd, kind: 'fault', addr: DATA, len: arg.length, off: null, arg });
  },
} as const;

const IOMMUFD = { kind: 'iommufd', path: '/dev/iommu' } as const;
const CONTAINER = { kind: 'container', path: '/dev/vfio/vfio' } as const;

function pidsOf({ session }: World): number[] {
  return Object.keys(session.kernel.state.processes).map(Number);
}
