import type { JsonValue } from '../../trace/index.ts';
import { functionSpace } from '../ioasid/index.ts';
import { attachmentsOfDevice } from './attachments.ts';
import { cookieOf, deviceOf } from './binding.ts';
import { hexText, numberArg, type ProposalAnswer, type ProposalCall, textArg, wideArg } from './call.ts';
import { deviceFacts, findDevice } from './facts.ts';
import { fileOf, scopeOfAttachment, wirePasid } from './pasid-changes.ts';
import { ARGUMENT_BAD } from './reasons.ts';
import { FAULT_CODE, FAULT_NO_QUEUE, FAULT_NOT_PAGE_REQUEST, NO_FAULT } from './reasons-memory.ts';
import type { FaultGroup, Ioas, PageRequest, ProposalFile, Slot } from './state.ts';
import { handleGroup } from './sva-faults.ts';

/**
 * Page requests: collected to groups, reported to the descriptor whose address space they hit, answered once
 * for each group. Sources: "iommu: Add a page fault handler", V12 of 2021-01-27; proposals, worked example of
 * the page fault.
 */

/** `enum iommu_page_response_code`. */
export const PAGE_RESPONSE = { SUCCESS: 0, INVALID: 1, FAILURE: 2 } as const;

/** `type` of a record: other faults can not be answered. */
const PAGE_REQUEST = 'page-request';

/** Codes of an answer in words. */
const RESPONSE_NAMES = ['success', 'invalid', 'failure'] as const;

/** What the IOMMU tells the function, once for each group. */
function response(
  call: ProposalCall,
  device: string,
  pasid: number | null,
  grpid: number,
  code: number,
): JsonValue {
  const rid = requesterOf(call, device)!;
  return { rid, ...(pasid === null ? {} : { pasid }), grpid, code };
}

/**
 * A page request from the hardware. Requests that are not the last of their group wait on the device; the
 * last one takes those of its group along. Answers the response if the kernel gives one at once.
 */
export function pageRequest(call: ProposalCall): ProposalAnswer {
  const named = textArg(call, 'device');
  const grpid = numberArg(call, 'grpid');
  const address = wideArg(call, 'addr');
  if (named === null || grpid === null || address === null) return ARGUMENT_BAD;
  const rid = requesterOf(call, named);
  if (rid === null || call.state.queued[rid] === false) return FAULT_NO_QUEUE;
  if ((textArg(call, 'type') ?? PAGE_REQUEST) !== PAGE_REQUEST) return FAULT_NOT_PAGE_REQUEST;
  const { state } = call;
  const pasid = numberArg(call, 'pasid');
  if (pasid === null && call.args['pasid'] !== undefined) return ARGUMENT_BAD;
  const request = { pasid, grpid, address: hexText(address), perm: numberArg(call, 'perm') ?? 0 };
  state.partialFaults[rid] ??= [];
  if (call.args['last'] !== true) {
    state.partialFaults[rid].push(request);
    return { ret: 0, out: { waits: true } };
  }
  const waiting = state.partialFaults[rid];
  const requests = [...waiting.filter((other) => other.grpid === grpid), request];
  state.partialFaults[rid] = waiting.filter((other) => other.grpid !== grpid);
  const name = holderOf(call, rid, pasid) ?? named;
  return reportGroup(call, name, pasid, requests, call.args['response_needs_pasid'] !== false);
}

/** The function that issues a device's requests, which may be named itself; null where it is not there. */
export function requesterOf({ kernel }: ProposalCall, name: string): string | null {
  const device = findDevice(kernel.machine, name);
  if (device !== undefined) return device.functionName;
  return deviceFacts(kernel.machine).some(({ functionName }) => functionName === name) ? name : null;
}

/** The device that has a PASID of the function: the hardware knows the function only. */
function holderOf({ state }: ProposalCall, rid: string, pasid: number | null): string | undefined {
  return pasid === null ? undefined : state.slots[`${rid}/${pasid}`]?.device;
}

/** Reports a whole group, or answers it at once where nobody can handle it. */
function reportGroup(
  call: ProposalCall,
  name: string,
  pasid: number | null,
  requests: readonly PageRequest[],
  needsPasid: boolean,
): ProposalAnswer {
  const { grpid } = requests.at(-1)!;
  const told = needsPasid ? pasid : null;
  const invalid = { ret: 0, out: { response: response(call, name, told, grpid, PAGE_RESPONSE.INVALID) } };
  const found = targetOf(call, name, pasid);
  const ofProcess = found === null && pasid !== null ? handleGroup(call, pasid, requests) : null;
  if (ofProcess !== null) {
    const code = ofProcess.isHandled ? PAGE_RESPONSE.SUCCESS : PAGE_RESPONSE.INVALID;
    return { ret: 0, out: { response: response(call, name, told, grpid, code) } };
  }
  if (found === null) {
    tellUnclaimed(call, name, pasid);
    return invalid;
  }
  const { iommu, ioas, file } = found;
  const attachment = attachmentsOfDevice(ioas, name).find(({ host, guest }) =>
    pasid === null ? guest === null : (host ?? guest) === pasid,
  );
  const fault: FaultGroup = {
    ioas: ioas.id,
    device: name,
    cookie: file === undefined ? '' : cookieOf(file, iommu),
    guest: attachment?.guest ?? null,
    pasid,
    grpid,
    requests,
    needsPasid,
    wasRead: false,
  };
  iommu.faults.push(fault);
  tellOfFault(call, 'fault', iommu, fault);
  call.kernel.effects.faultReported(iommu.id, ioas.id, file?.id ?? 0);
  return { ret: 0, out: { reported: ioas.id } };
}

/** A group of requests with a PASID: that it came, was read, was answered. */
export function tellOfFault(
  { kernel, state }: ProposalCall,
  what: 'fault' | 'fault-read' | 'fault-answer',
  iommu: ProposalFile,
  { ioas, device, guest, pasid }: FaultGroup,
  reason: string | null = null,
): void {
  if (pasid === null) return;
  const { functionName } = deviceOf({ kernel }, device);
  const space = iommu.spaces[ioas];
  const attached = space === undefined ? [] : attachmentsOfDevice(space, device);
  const attachment = attached.find((other) => wirePasid(other) === pasid);
  // Behind a table in guest memory the number is one of the function's, and nobody told the host of it.
  const scope = attachment === undefined ? functionSpace(functionName) : scopeOfAttachment(attachment);
  const target = { device, file: fileOf(state, device), ioas };
  kernel.effects.pasidChanged({ what, scope, pasid, vpasid: guest, context: iommu.id, target, reason });
}

/** A request that hits nothing which the user translates: the next owner of a number may get a late one. */
function tellUnclaimed({ kernel }: ProposalCall, device: string, pasid: number | null): void {
  if (pasid === null) return;
  const scope = functionSpace(findDevice(kernel.machine, device)?.functionName ?? device);
  const target = { device, file: 0, ioas: 0 };
  kernel.effects.pasidChanged({ what: 'fault', scope, pasid, context: 0, target, reason: 'invalid' });
}

interface FaultTarget {
  readonly iommu: ProposalFile;
  readonly ioas: Ioas;
  readonly file: ProposalFile | undefined;
}

/** The address space that a request hits, if a table of the user translates it: the kernel's do not fault. */
function targetOf(call: ProposalCall, name: string, pasid: number | null): FaultTarget | null {
  const { state } = call;
  const slot = slotOf(call, name, pasid);
  const iommu = slot === undefined ? undefined : state.files[slot.iommu];
  const ioas = slot === undefined ? undefined : iommu?.spaces[slot.stack.at(-1)!];
  if (iommu === undefined || ioas === undefined || ioas.table === null) return null;
  const file = Object.values(state.files).find(({ kind, device }) => kind === 'device' && device === name);
  return { iommu, ioas, file };
}

/** Where the hardware looks: the PASID's entry, or that of the function; a guest's table takes all PASIDs. */
function slotOf(call: ProposalCall, name: string, pasid: number | null): Slot | undefined {
  const { slots, files } = call.state;
  const functionName = requesterOf(call, name)!;
  if (pasid === null) return slots[functionName];
  const exact = slots[`${functionName}/${pasid}`] ?? slots[`${functionName}/guest ${pasid}`];
  if (exact !== undefined) return exact;
  const whole = slots[functionName];
  const top = whole === undefined ? undefined : files[whole.iommu]?.spaces[whole.stack.at(-1)!];
  return top?.kind === 'pasid-table' ? whole : undefined;
}

/** What user space reads of a group: in May 2021 without the device, in July with its cookie. */
export function readFault(call: ProposalCall, iommu: ProposalFile): ProposalAnswer {
  const fault = iommu.faults.find(({ wasRead }) => !wasRead);
  if (fault === undefined) return NO_FAULT;
  fault.wasRead = true;
  tellOfFault(call, 'fault-read', iommu, fault);
  const { ioas, cookie, pasid, requests } = fault;
  const addr = requests.map(({ address }) => address);
  if (call.generation === 'proposal-2021-05') return { ret: 0, out: { ioasid: ioas, addr } };
  const perm = requests.map((request) => request.perm);
  // Behind a guest's own PASID table the number on the wire is the guest's: only there it is told.
  const isTable = iommu.spaces[ioas]!.kind === 'pasid-table';
  const vpasid = isTable ? pasid : null;
  return {
    ret: 0,
    out: {
      ioasid: ioas,
      cookie,
      addr,
      perm,
      ...(vpasid === null ? {} : { vpasid }),
    },
  };
}

/**
 * Answers a group that was read: in May 2021 the oldest one of the address space, whichever device it is from
 * (docs/proposal-choices.md, "Completing a fault"); in July that of the cookie.
 */
export function completeFault(
  call: ProposalCall,
  iommu: ProposalFile,
  ioas: Ioas,
  cookie: string | null,
): ProposalAnswer {
  const code = numberArg(call, 'code');
  if (code === null || code > PAGE_RESPONSE.FAILURE) return FAULT_CODE;
  const at = iommu.faults.findIndex((fault) => isAsked(fault, ioas, cookie));
  const fault = iommu.faults[at];
  if (fault === undefined) return NO_FAULT;
  iommu.faults.splice(at, 1);
  tellOfFault(call, 'fault-answer', iommu, fault, RESPONSE_NAMES[code]);
  return {
    ret: 0,
    out: { response: response(call, fault.device, fault.needsPasid ? fault.pasid : null, fault.grpid, code) },
  };
}

function isAsked(fault: FaultGroup, ioas: Ioas, cookie: string | null): boolean {
  return fault.wasRead && fault.ioas === ioas.id && (cookie === null || fault.cookie === cookie);
}
