/** One option of a plugin. */
export interface OptionSpecification {
  readonly type: 'string' | 'number' | 'boolean' | 'file';
  /** One sentence for `--help`, without a full stop. */
  readonly description: string;
  /** The placeholder in `--help`, e.g. `URL`. */
  readonly placeholder?: string;
  readonly required?: boolean;
  /**
   * Never a flag: taken from `VBACKUP_<NAME>_<OPTION>`, `…_FILE`, `…_COMMAND`, `…_FD` or
   * `$CREDENTIALS_DIRECTORY/<name>-<option>`, and never printed.
   */
  readonly secret?: boolean;
  /**
   * A flag without the plugin's name, e.g. `bitmap` for `--bitmap`, that is known beside `--<name>-<option>` while the
   * plugin is in use. A flag of the command itself comes first. Meant for the plugins that come with vbackup.
   */
  readonly alias?: string;
}

/** Keys are kebab-case: `nbd-host` becomes `--xen-nbd-host`, `VBACKUP_XEN_NBD_HOST` and `nbd-host` in `[xen]`. */
export type OptionSchema = Readonly<Record<string, OptionSpecification>>;

export type OptionValues = Readonly<Record<string, string | number | boolean | undefined>>;
