import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  acknowledge,
  type Channel,
  closeChannel,
  drainChannel,
  openChannel,
  skipUnfinished,
} from './channel.ts';
import { FRAME_END, FRAME_WATERMARK, type Spool } from './spool.ts';

/** How often a process is told that somebody is there, and asked whether it lives. */
const SIGN_MS = 500;

/** Takes the records of all channels of a folder into a spool. */
export interface Drain {
  /** Takes what is there; answers how many bytes that was. */
  cycle(): number;
  /** Tells all processes to stop recording. */
  stop(): void;
  /** Process ids of channels that still live. */
  livePids(): readonly number[];
  /** Records that were reserved and never finished. */
  torn(): number;
  close(): void;
}

/** Watches a folder for channels. */
export function createDrain(folder: string, spool: Spool): Drain {
  const channels = new Map<string, Channel>();
  const watermark = Buffer.alloc(8);
  const ended = Buffer.alloc(16);
  let nextIndex = 0;
  let tornCount = 0;
  let nextSignMs = 0;
  let taken = 0;
  /** Records came after the last watermark. */
  let owesWatermark = false;

  const take = ({ index }: Channel, bytes: Buffer): void => {
    taken += bytes.length;
    spool.append(index, bytes);
  };

  const openNew = (): void => {
    for (const name of readdirSync(folder)) {
      if (!name.endsWith('.ring') || channels.has(name)) continue;
      channels.set(name, openChannel(join(folder, name), nextIndex));
      nextIndex += 1;
    }
  };

  const drainOne = (channel: Channel): boolean => {
    if (drainChannel(channel, take)) return true;
    // A thread that waits for a processor finishes its record when it gets one. Its place is not anybody
    // else's before; only of a process that is gone nothing comes any more.
    if (isAlive(channel.pid)) return false;
    tornCount += 1;
    skipUnfinished(channel);
    return false;
  };

  /** Also finds the processes that are gone; whatever they wrote before is in their rings by then. */
  const giveSigns = (): void => {
    for (const [name, channel] of channels) {
      if (isAlive(channel.pid)) {
        acknowledge(channel);
      } else if (drainChannel(channel, take)) {
        ended.writeUInt32LE(channel.index, 0);
        ended.writeUInt32LE(channel.pid, 4);
        ended.writeDoubleLE(Number(process.hrtime.bigint()), 8);
        spool.append(FRAME_END, ended);
        closeChannel(channel);
        channels.delete(name);
        rmSync(join(folder, name), { force: true });
      }
    }
  };

  return {
    cycle() {
      taken = 0;
      const nowNs = Number(process.hrtime.bigint());
      const nowMs = nowNs / 1e6;
      openNew();
      let isComplete = true;
      for (const channel of channels.values()) isComplete = drainOne(channel) && isComplete;
      const isDue = nowMs >= nextSignMs;
      if (isComplete && (taken > 0 || owesWatermark || isDue)) {
        // Whoever reserves a record from now on reads the clock later than this.
        watermark.writeDoubleLE(nowNs, 0);
        spool.append(FRAME_WATERMARK, watermark);
        owesWatermark = taken > 0;
      } else {
        owesWatermark ||= taken > 0;
      }
      if (isDue) {
        nextSignMs = nowMs + SIGN_MS;
        giveSigns();
      }
      return taken;
    },
    stop() {
      for (const channel of channels.values()) acknowledge(channel, true);
    },
    livePids: () => [...channels.values()].map(({ pid }) => pid),
    torn: () => tornCount,
    close() {
      for (const channel of channels.values()) closeChannel(channel);
      channels.clear();
    },
  };
}

/** False for a process that is gone. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
