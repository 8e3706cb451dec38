// Files beside the streams that virtnbdbackup's tools ask for; observed with 1.9.15.

/** What virtnbdrestore must know of a machine. */
export interface PeerDomain {
  readonly name: string;
  readonly disks: readonly PeerDisk[];
}

/** One disk of the machine. */
export interface PeerDisk {
  /** The name that the data files begin with: `xvda` in `xvda.full.data`. */
  readonly target: string;
  /** Name of the image that virtnbdrestore makes; default `<target>.qcow2`. */
  readonly imageName?: string | undefined;
}

/**
 * The image format that META must name, and the domain XML too: virtnbdrestore creates the image in META's format, writes
 * it through `qemu-nbd --format=qcow2`, and leaves out disks that the XML calls raw.
 */
export const PEER_DISK_FORMAT = 'qcow2';

/**
 * The smallest domain XML that virtnbdrestore restores from: it looks at the disks and nothing else. Not enough to define
 * a machine. The file is named by {@link peerConfigName}; the newest one in the folder is taken.
 */
export function minimalDomainXml({ name, disks }: PeerDomain): string {
  const lines = disks.flatMap(({ target, imageName = `${target}.qcow2` }) => [
    "    <disk type='file' device='disk'>",
    `      <driver name='qemu' type='${PEER_DISK_FORMAT}'/>`,
    `      <source file='/${escape(imageName)}'/>`,
    `      <target dev='${escape(target)}'/>`,
    '    </disk>',
  ]);
  const devices = ['  <devices>', ...lines, '  </devices>'];
  return ['<domain>', `  <name>${escape(name)}</name>`, '  <os/>', ...devices, '</domain>', ''].join('\n');
}

/** `vmconfig.<checkpoint>.xml` */
export const peerConfigName = (checkpointName: string): string => `vmconfig.${checkpointName}.xml`;

/** `<domain>.cpt`: the names of all checkpoints of a chain, in order. */
export const checkpointListJson = (checkpointNames: readonly string[]): string =>
  `[${checkpointNames.map((name) => JSON.stringify(name)).join(', ')}]`;

/** `virtnbdbackup.<number>`: the full has 0. */
export const peerCheckpointName = (number: number): string => `virtnbdbackup.${number}`;

/** What one data file is called; `at` is needed for a differential only. */
export function peerDataName(file: {
  readonly target: string;
  readonly level: 'full' | 'inc' | 'diff' | 'copy';
  readonly checkpointName: string;
  readonly at: Date;
}): string {
  switch (file.level) {
    case 'full':
    case 'copy':
      return `${file.target}.${file.level}.data`;
    case 'inc':
      return `${file.target}.inc.${file.checkpointName}.data`;
    case 'diff':
      return `${file.target}.diff.${Math.floor(file.at.getTime() / 1000)}.data`;
  }
}

const DATA_NAME = /^(.+?)\.(?:(full|copy)|(inc|diff)\.(.+))\.data$/;

/** What a data file's name says; undefined for any other file. `ident` is a checkpoint name, or the seconds of a diff. */
export function parsePeerDataName(
  name: string,
):
  | { readonly target: string; readonly level: 'full' | 'inc' | 'diff' | 'copy'; readonly ident: string | undefined }
  | undefined {
  const [, target, base, step, ident] = DATA_NAME.exec(name) ?? [];
  const level = base ?? step;
  if (target === undefined || !isLevel(level)) return undefined;
  return { target, level, ident };
}

const isLevel = (word: string | undefined): word is 'full' | 'inc' | 'diff' | 'copy' => word !== undefined;

/** What is beside a data file: the adler-32 of all its bytes, decimal, without a line end. */
export const checksumName = (dataName: string): string => `${dataName}.chksum`;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
};

/** Text for XML 1.0; characters that XML cannot hold become U+FFFD. */
const escape = (text: string): string =>
  text
    .replace(/[&<>'"]/g, (character) => ENTITIES[character] ?? character)
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd');
