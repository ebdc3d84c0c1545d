import type { DriverLog, DriverOp } from './driver-op.ts';
import type { History } from './history.ts';
import { attachBlocked, attachNested, attachPaging, detachPasid } from './smmu-attach.ts';
import {
  allocateDomain,
  createDriver,
  type Driver,
  type DriverStream,
  doSteps,
  emit,
  idOf,
  probe,
  type SmmuOptions,
} from './smmu-driver.ts';
import type { SmmuFeatures } from './smmu-features.ts';
import { queueGuestCommands } from './smmu-guest-commands.ts';

/** Executes a log from the boot of the machine up to a call: every entry, table and command of the SMMU. */
export function runSmmu(
  log: DriverLog,
  history: History,
  features: SmmuFeatures,
  options: SmmuOptions,
  untilSeq = Number.POSITIVE_INFINITY,
): Driver {
  const driver = bootSmmu(log, history, features, options);
  for (const op of log.ops) {
    if (op.seq > untilSeq) break;
    driver.seq = op.seq;
    execute(driver, op);
  }
  return driver;
}

/** The driver once the machine is up: each device has a domain of the kernel's own. */
export function bootSmmu(
  log: DriverLog,
  history: History,
  features: SmmuFeatures,
  options: SmmuOptions,
): Driver {
  const driver = createDriver(log, history, features, options);
  for (const stream of driver.streams.values()) attachPaging(driver, stream, stream.own, 0);
  // What the boot queued is no part of the trace.
  driver.queue.length = 0;
  return driver;
}

/** Does one thing of the log. */
export function execute(driver: Driver, op: DriverOp): void {
  switch (op.op) {
    case 'alloc':
      allocateDomain(driver, op.domain);
      return;
    case 'free':
      driver.domains.delete(op.domain);
      return;
    case 'steps':
      doSteps(driver, op.domain, op.end, op.silent);
      return;
    case 'probe':
      probe(driver, op.domain, op.page);
      return;
    case 'claim':
      for (const stream of streamsOf(driver, op.devices)) attachBlocked(driver, stream);
      return;
    case 'release':
      for (const stream of streamsOf(driver, op.devices)) attachPaging(driver, stream, stream.own, 0);
      return;
    case 'detach':
      for (const stream of streamsOf(driver, op.devices)) {
        if (op.pasid === 0) attachBlocked(driver, stream);
        else detachPasid(driver, stream, op.pasid);
      }
      return;
    case 'attach':
      attach(driver, op);
      return;
    case 'guest':
      runGuest(driver, op);
      return;
  }
}

function streamsOf(driver: Driver, devices: readonly number[]): DriverStream[] {
  return devices.flatMap((device) => driver.streams.get(device) ?? []);
}

function attach(driver: Driver, { devices, pasid, to }: Extract<DriverOp, { op: 'attach' }>): void {
  const domain = driver.domains.get(to.domain);
  if (domain === undefined) return;
  for (const stream of streamsOf(driver, devices)) {
    if (to.kind === 'nested') attachNested(driver, stream, domain, to.data);
    else attachPaging(driver, stream, domain, pasid);
  }
}

function runGuest(driver: Driver, { domain, commands, streams }: Extract<DriverOp, { op: 'guest' }>): void {
  const parent = driver.domains.get(domain);
  if (parent === undefined) return;
  const queue = {
    vmid: idOf(driver, parent),
    streamOf: (virtualId: number): number | null => {
      const device = streams.get(virtualId);
      return device === undefined ? null : (driver.streams.get(device)?.streamId ?? null);
    },
  };
  emit(driver, ...queueGuestCommands(commands, queue));
}
