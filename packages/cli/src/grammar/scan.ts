/** What must be known of the arguments before the grammar can be built: plugins bring their own flags. */
export interface Scan {
  readonly hypervisor: string | undefined;
  readonly config: string | undefined;
  readonly json: boolean;
  readonly verbose: boolean;
  readonly help: boolean;
  /** Arguments that look like long flags, without their value: `--xen-url`. */
  readonly flags: readonly string[];
  /** What the last of these flags was given, if it was: `--url=x` and `--url x`. */
  readonly valueOf: (flag: string) => string | undefined;
  /** Everything else before and after `--`: commands, operands and values of flags. */
  readonly words: readonly string[];
}

/** Reads the arguments without a grammar; it never fails, since the grammar will say what is wrong. */
export function scan(args: readonly string[]): Scan {
  const end = args.indexOf('--');
  const parsed = end < 0 ? args : args.slice(0, end);
  const valueOf = (flag: string): string | undefined => {
    const at = parsed.findLastIndex((arg) => arg === flag || arg.startsWith(`${flag}=`));
    const arg = parsed[at];
    if (arg === undefined) return undefined;
    return arg === flag ? parsed[at + 1] : arg.slice(flag.length + 1);
  };
  const short = (letter: string): boolean => parsed.some((arg) => new RegExp(`^-[qvhV]*${letter}`).test(arg));
  return {
    hypervisor: valueOf('--hypervisor'),
    config: valueOf('--config'),
    json: parsed.includes('--json'),
    verbose: parsed.includes('--verbose') || short('v'),
    help: parsed.includes('--help') || parsed[0] === 'help' || short('h'),
    flags: parsed.filter((arg) => /^--[a-z]/.test(arg)).map((arg) => arg.split('=')[0] ?? arg),
    valueOf,
    words: args.filter((arg) => !arg.startsWith('-')),
  };
}
