import { numberIn, objectIn } from '../check-order/check.ts';
import { objectLabel } from '../object-facts.ts';
import { refuseDestroy } from '../objects.ts';
import type { Context, KernelObject, ObjectType } from '../state.ts';
import {
  count,
  type Explain,
  type Finding,
  labels,
  objectsOf,
  ofObject,
  plain,
  type Refused,
  remedy,
} from './finding.ts';
import { attachmentsOf, holdersOf } from './holders.ts';

/** Refusals about which object an id names, and who holds it. */

type InContext = Refused & { readonly context: Context };

const PAGE_TABLES: readonly ObjectType[] = ['hwpt-paging', 'hwpt-nested'];

/** An id that names nothing, or something else than was asked for. */
function wrongId(fields: readonly string[], ...wanted: readonly ObjectType[]): Explain {
  return (refused) => {
    const { context, kernel } = refused;
    const field = refused.at ?? fields.find((name) => refused.fields[name] !== undefined);
    if (field === undefined) return null;
    const id = numberIn(refused, field);
    const named = objectIn(refused, field);
    const isDestroy = refused.command === 'IOMMU_DESTROY';
    const fits = (object: KernelObject): boolean =>
      isDestroy ? refuseDestroy(context, object.id) === null : wanted.includes(object.type);
    const candidates = objectsOf(context, fits);
    const findings: Finding[] = [
      named !== undefined
        ? ofObject(context, named, `is what ${field} names`)
        : plain(
            `${field} ${id} names nothing${context.tombstones[id] ? ': it was a vDEVICE, and stays taken' : ''}`,
          ),
    ];
    for (const other of Object.values(kernel.state.contexts)) {
      const twin = other.id === context.id ? undefined : other.objects[id];
      if (twin !== undefined && fits(twin))
        findings.push(ofObject(other, twin, `has this id in another context, ${other.id}`));
    }
    const choice = labels(candidates);
    return remedy(
      findings,
      candidates.length === 0 ? 'only once the context has one' : `with ${field} of one of these: ${choice}`,
    );
  };
}

function inUse(refused: InContext): ReturnType<Explain> {
  const { context } = refused;
  const object = objectIn(refused, 'id');
  if (object === undefined) return null;
  const holders = holdersOf(refused, context, object);
  const findings = [plain(`${objectLabel(object)} has ${count(object.users - 1, 'user')}:`), ...holders];
  return remedy(findings, endOf(context, object));
}

/** What ends the uses of an object. */
function endOf(context: Context, object: KernelObject): string {
  switch (object.type) {
    case 'device': {
      const owner = objectsOf(context, (other) => other.type === 'selftest' && other.device === object.id)[0];
      return owner === undefined
        ? 'never: its driver ends it, when the device is closed'
        : `never: it goes when ${objectLabel(owner)} is destroyed`;
    }
    case 'access':
      return 'never: its driver ends it, when its descriptor is closed or its HW queue destroyed';
    case 'hwpt-paging':
      if (object.auto) return 'never: it was made automatically and goes with its last device';
      return 'after these are detached or destroyed';
    case 'fault':
    case 'veventq':
      return 'after its descriptor is closed and what reports to it is destroyed';
    default:
      return 'after these are detached or destroyed';
  }
}

const contextNotEmpty: Explain = ({ context }) => {
  const objects = Object.values(context.objects);
  const tombs = Object.keys(context.tombstones);
  return remedy(
    [
      plain(`the context has ${count(objects.length, 'object')}: ${labels(objects)}`),
      ...(tombs.length === 0
        ? []
        : [plain(`ids of vDEVICEs that went with their devices: ${tombs.join(', ')}`)]),
    ],
    tombs.length === 0 ? 'before the first of them was made' : 'only in a new context: such ids stay taken',
  );
};

const noCompatIoas: Explain = ({ context }) => {
  const choice = objectsOf(context, ({ type }) => type === 'ioas');
  const text = choice.length === 0 ? 'an IOAS was made and ' : '';
  return remedy(
    [plain(`the context has these IOASes: ${labels(choice)}`)],
    `after ${text}IOMMU_VFIO_IOAS SET has named one`,
  );
};

/** A descriptor given as an id. */
const notAnAccess: Explain = (refused) => {
  const { descriptors } = refused;
  const { files } = refused.kernel.state;
  const fd = numberIn(refused, 'id');
  const kind = files[descriptors[fd] ?? 0]?.kind;
  const access = Object.entries(descriptors).filter(([, id]) => files[id]?.kind === 'access');
  return remedy(
    [
      plain(
        kind === undefined
          ? `descriptor ${fd} is not known to be open`
          : `descriptor ${fd} is of kind ${kind}`,
      ),
    ],
    access.length === 0
      ? 'only once the process has an access object'
      : `with descriptor ${access.map(([id]) => id).join(' or ')}`,
  );
};

/** The pins of the access object behind the descriptor in `id`. */
const noSuchPin: Explain = (refused) => {
  const { files, contexts } = refused.kernel.state;
  const file = files[refused.descriptors[numberIn(refused, 'id')] ?? 0];
  const access = contexts[file?.context ?? 0]?.objects[file?.object ?? 0];
  if (access?.type !== 'access') return null;
  const pins = access.items.map(({ id }) => id).join(', ');
  return remedy(
    [plain(`the access object has ${pins === '' ? 'no pins' : `these pins: ${pins}`}`)],
    pins === '' ? null : `access_pages_id ${access.items.map(({ id }) => id).join(' or ')}`,
  );
};

const checkedPasid: Explain = (refused) => {
  const object = objectIn(refused, 'id');
  if (object?.type !== 'selftest') return null;
  const held = attachmentsOf(refused.context, object.device);
  return remedy(held.length === 0 ? [plain('the device is attached to nothing')] : held);
};

export const OBJECT_REMEDIES: Readonly<Record<string, Explain>> = {
  'ioas-not-found': wrongId(['ioas_id', 'object_id', 'id'], 'ioas'),
  'device-not-found': wrongId(['dev_id', 'id'], 'device'),
  'hwpt-not-found': (refused) => {
    const nested = ['IOMMU_TEST_CMD MD_CHECK_IOTLB', 'IOMMU_HWPT_INVALIDATE'].includes(refused.command);
    return wrongId(['hwpt_id', 'id'], nested ? 'hwpt-nested' : 'hwpt-paging')(refused);
  },
  'viommu-not-found': wrongId(['viommu_id'], 'viommu'),
  'fault-queue-not-found': wrongId(['fault_id'], 'fault'),
  'selftest-object-not-found': wrongId(['id'], 'selftest'),
  'attach-target-not-found': wrongId(['pt_id', 'id'], 'ioas', ...PAGE_TABLES),
  'attach-target-of-wrong-type': wrongId(['pt_id', 'id'], 'ioas', ...PAGE_TABLES),
  'hwpt-parent-not-found': wrongId(['pt_id'], 'ioas', 'hwpt-paging', 'viommu'),
  'hwpt-parent-of-wrong-type': wrongId(['pt_id'], 'ioas', 'hwpt-paging', 'viommu'),
  'invalidate-target-of-wrong-type': wrongId(['hwpt_id'], 'hwpt-nested', 'viommu'),
  'check-pasid-target-not-found': wrongId(['hwpt_id'], ...PAGE_TABLES),
  'check-pasid-target-of-wrong-type': wrongId(['hwpt_id'], ...PAGE_TABLES),
  'object-not-found': wrongId(['id']),
  'object-in-use': inUse,
  'context-not-empty': contextNotEmpty,
  'no-compat-ioas': noCompatIoas,
  'not-an-access-descriptor': notAnAccess,
  'access-pages-not-found': noSuchPin,
  'check-pasid-differs': checkedPasid,
};
