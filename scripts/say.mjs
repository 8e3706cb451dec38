/** Progress of the scripts, for people. */
export const say = (message) => console.error(`== ${message}`);

export function fail(message) {
  console.error(`vbackup: ${message}`);
  process.exit(1);
}
