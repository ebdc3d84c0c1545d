import {
  allocIoasid,
  allocSet,
  attachData,
  attachSpid,
  bindMm,
  cancelCapacity,
  createCgroup,
  detachData,
  detachSpid,
  findBySpid,
  findData,
  findIoasid,
  findSetOf,
  freeAllInSet,
  freeIoasid,
  freeSet,
  getIfOwned,
  getIoasid,
  INVALID_IOASID,
  installCapacity,
  isRefused,
  moveProcess,
  numbersOfSet,
  type Priority,
  putIoasid,
  ROOT_CGROUP,
  registerAllocator,
  registerNotifier,
  registerNotifierMm,
  reserveCapacity,
  runFreeWork,
  SYSTEM,
  setCgroupMax,
  unbindMm,
  unregisterAllocator,
  unregisterNotifier,
} from '../ioasid/index.ts';
import type { Reason, Refusal } from '../reason.ts';
import {
  coreOf,
  DONE,
  flagArg,
  guestArg,
  numberArg,
  type ProposalAnswer,
  type ProposalCall,
  type ProposalHandler,
  textArg,
} from './call.ts';
import { answer } from './handlers.ts';
import { tellRefused } from './pasid-changes.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import { numberReturned, teardownStep, tornDown } from './teardown.ts';

/** The functions of the IOASID series V4 inside the kernel, by their names there. */

const value = (result: number | Reason): ProposalAnswer => (isRefused(result) ? result : { ret: result });

/** A function of numbers only: an argument that is missing refuses. */
function of(
  names: readonly string[],
  run: (call: ProposalCall, ...numbers: number[]) => ProposalAnswer,
): ProposalHandler {
  return (call) => {
    const numbers = names.map((name) => numberArg(call, name));
    const known = numbers.filter((number) => number !== null);
    return known.length < names.length ? ARGUMENT_BAD : run(call, ...known);
  };
}

/** Runs something that may reclaim numbers, and looks at how those were taken out of use. */
function watching(call: ProposalCall, ids: readonly number[], run: () => void): void {
  run();
  for (const id of ids) if (findIoasid(call.state.core, id, SYSTEM) === undefined) numberReturned(call, id);
}

const PRIORITIES: readonly string[] = ['cpu', 'iommu', 'device'];

function priorityArg(call: ProposalCall): Priority | null {
  const text = textArg(call, 'priority');
  return text !== null && PRIORITIES.includes(text) ? (text as Priority) : null;
}

const registersNotifier: ProposalHandler = (call) => {
  const [name, priority, set, mm] = [
    textArg(call, 'name'),
    priorityArg(call),
    numberArg(call, 'set'),
    numberArg(call, 'mm'),
  ];
  if (name === null || priority === null) return ARGUMENT_BAD;
  const { core } = call.state;
  return answer(
    mm === null
      ? registerNotifier(core, { name, priority, set: set ?? 0 })
      : registerNotifierMm(core, mm, name, priority),
  );
};

const registersAllocator: ProposalHandler = (call) => {
  const [name, functions, kind] = [textArg(call, 'name'), textArg(call, 'functions'), textArg(call, 'kind')];
  const [min, max] = [numberArg(call, 'min'), numberArg(call, 'max')];
  if (name === null || functions === null || min === null || max === null) return ARGUMENT_BAD;
  if (kind !== 'custom' && kind !== 'vcmd') return ARGUMENT_BAD;
  return answer(registerAllocator(call.state.core, { name, functions, kind, min, max }));
};

const attachesData: ProposalHandler = (call) => {
  const [id, owner, devices] = [numberArg(call, 'id'), textArg(call, 'owner'), call.args['devices']];
  if (id === null || owner === null || !Array.isArray(devices)) return ARGUMENT_BAD;
  return answer(attachData(coreOf(call), id, { owner, devices: devices.map(String) }));
};

export const CORE_CALLS: Readonly<Record<string, ProposalHandler>> = {
  ioasid_install_capacity: of(['total'], ({ state }, total) => answer(installCapacity(state.core, total!))),
  ioasid_reserve_capacity: of(['amount'], ({ state }, amount) => value(reserveCapacity(state.core, amount!))),
  ioasid_cancel_capacity: of(['amount'], ({ state }, amount) => value(cancelCapacity(state.core, amount!))),
  ioasid_set_alloc: of(['token', 'quota', 'type'], ({ state }, token, quota, type) =>
    value(allocSet(state.core, token!, quota!, type!)),
  ),
  ioasid_set_free: of(['set'], ({ state }, set) => answer(freeSet(state.core, set!))),
  // Answers a number and no errno: `out.refused` names the reason.
  ioasid_alloc: of(['set', 'min', 'max'], (call, set, min, max) => {
    const id = allocIoasid(coreOf(call), set!, min!, max!);
    if (!isRefused(id)) return { ret: id };
    tellRefused(call, { scope: SYSTEM, pasid: min === max ? min! : 0, context: 0, set: set! }, id);
    return { ret: INVALID_IOASID, out: { refused: id.id } };
  }),
  ioasid_get: of(['set', 'id'], (call, set, id) => {
    const got = getIoasid(coreOf(call), set!, id!);
    return isRefused(got) ? got : DONE;
  }),
  ioasid_get_if_owned: of(['id'], (call, id) => {
    const got = getIfOwned(coreOf(call), id!);
    return isRefused(got) ? got : DONE;
  }),
  ioasid_put: of(['set', 'id'], (call, set, id) => {
    let isReclaimed = false;
    watching(call, [id!], () => {
      isReclaimed = putIoasid(coreOf(call), set!, id!);
    });
    return { ret: isReclaimed ? 1 : 0 };
  }),
  ioasid_free: of(['set', 'id'], (call, set, id) => {
    watching(call, [id!], () => freeIoasid(coreOf(call), set!, id!));
    return DONE;
  }),
  ioasid_free_all_in_set: of(['set'], (call, set) => {
    const core = coreOf(call);
    let refusal: Refusal = null;
    const ids = numbersOfSet(core, set!).map(({ id }) => id);
    watching(call, ids, () => {
      refusal = freeAllInSet(core, set!);
    });
    return answer(refusal);
  }),
  ioasid_attach_data: attachesData,
  ioasid_detach_data: of(['id'], (call, id) => {
    detachData(coreOf(call), id!);
    return DONE;
  }),
  ioasid_find: of(['set', 'id'], (call, set, id) => {
    const data = findData(coreOf(call), set!, id!);
    if (isRefused(data)) return data;
    return { ret: 0, out: { data: data === null ? null : { owner: data.owner, devices: data.devices } } };
  }),
  ioasid_find_set: of(['id'], (call, id) => value(findSetOf(coreOf(call), id!))),
  ioasid_attach_spid: of(['id', 'spid'], (call, id) =>
    answer(attachSpid(coreOf(call), id!, guestArg(call, 'spid')!)),
  ),
  ioasid_detach_spid: of(['id'], (call, id) => {
    detachSpid(coreOf(call), id!);
    return DONE;
  }),
  ioasid_find_by_spid: of(['set', 'spid'], (call, set) => ({
    ret: findBySpid(coreOf(call), set!, guestArg(call, 'spid')!, flagArg(call, 'get')) ?? INVALID_IOASID,
  })),
  ioasid_register_notifier: registersNotifier,
  ioasid_register_notifier_mm: registersNotifier,
  ioasid_unregister_notifier: of(['set'], (call, set) => {
    unregisterNotifier(call.state.core, textArg(call, 'name') ?? '', set!);
    return DONE;
  }),
  ioasid_register_allocator: registersAllocator,
  ioasid_unregister_allocator: (call) => {
    const done = unregisterAllocator(call.state.core, textArg(call, 'name') ?? '');
    return isRefused(done) ? done : { ret: 0, out: { warns: done.warns } };
  },
  ioasid_queue_work: (call) => {
    const steps = runFreeWork(coreOf(call)).map(({ step, id, device }) => ({ step, id, device }));
    for (const { step, id } of steps) if (step === 'put') tornDown(call, id);
    return { ret: 0, out: { steps } };
  },
  iommu_sva_alloc_pasid: of(['set', 'mm', 'min', 'max'], (call, set, mm, min, max) => {
    const pasid = bindMm(coreOf(call), set!, mm!, min!, max!);
    if (isRefused(pasid)) tellRefused(call, { scope: SYSTEM, pasid: 0, context: 0, set: set! }, pasid);
    return value(pasid);
  }),
  iommu_sva_free_pasid: of(['mm'], (call, mm) => {
    const pasid = call.state.core.bound[mm!]?.pasid;
    let done: boolean | Reason = false;
    watching(call, pasid === undefined ? [] : [pasid], () => {
      done = unbindMm(coreOf(call), mm!);
    });
    return isRefused(done) ? done : DONE;
  }),
  ioasids_cgroup_create: (call) => {
    const name = textArg(call, 'name');
    if (name === null || name === ROOT_CGROUP) return ARGUMENT_BAD;
    createCgroup(call.state.core, name, textArg(call, 'parent') ?? ROOT_CGROUP);
    return DONE;
  },
  ioasids_cgroup_max: of(['max'], (call, max) => {
    const name = textArg(call, 'name') ?? '';
    return call.state.core.cgroups[name] === undefined
      ? ARGUMENT_BAD
      : answer(setCgroupMax(call.state.core, name, max!));
  }),
  ioasids_cgroup_move: of(['mm'], (call, mm) => {
    const name = textArg(call, 'name') ?? '';
    if (name !== ROOT_CGROUP && call.state.core.cgroups[name] === undefined) return ARGUMENT_BAD;
    moveProcess(call.state.core, mm!, name);
    return DONE;
  }),
  pasid_use: teardownStep('USE'),
  pasid_stop: teardownStep('STOP'),
  pasid_clear_entry: teardownStep('CLEAR'),
  pasid_invalidate: teardownStep('INVALIDATE'),
  pasid_drain: teardownStep('DRAIN'),
  pasid_flush: teardownStep('FLUSH'),
};
