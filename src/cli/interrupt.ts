const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Does work that leaves something behind when it is interrupted: on a signal `cleanUp` runs, then the process
 * ends as the signal would have ended it. Only for asynchronous work: a handler waits for the end of a
 * synchronous loop.
 */
export async function withCleanUp<T>(cleanUp: () => void, work: () => Promise<T>): Promise<T> {
  const onSignal = (signal: NodeJS.Signals): void => {
    for (const name of SIGNALS) process.off(name, onSignal);
    cleanUp();
    process.kill(process.pid, signal);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await work();
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
