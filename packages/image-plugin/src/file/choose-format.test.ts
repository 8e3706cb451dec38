import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chooseFormat, type FormatQuestion, parseFormat } from './choose-format.js';
import { type ImageHeader, readImageHeader } from './image-header.js';

const RAW: ImageHeader = { format: 'raw', needs: null };
const QCOW2: ImageHeader = { format: 'qcow2', needs: null };
const BACKED: ImageHeader = { format: 'qcow2', needs: 'a backing file' };
const FIXED: ImageHeader = { format: 'vpc', needs: null, trailing: true };
const DIFFERENCING: ImageHeader = { format: 'vpc', needs: 'a parent', unreadable: true };

const question = (path: string, header: ImageHeader, more: Partial<FormatQuestion> = {}): FormatQuestion => ({
  path,
  header,
  isBlockDevice: false,
  asked: null,
  before: null,
  ...more,
});

describe('the format that an image is read as', () => {
  const chosen: readonly (readonly [string, FormatQuestion, string, RegExp | null])[] = [
    ['a raw image', question('a.raw', RAW), 'raw', null],
    ['a raw image of any name', question('a', RAW), 'raw', null],
    ['a qcow2', question('a.qcow2', QCOW2), 'qcow2', null],
    ['a qcow2 of no telling name', question('a', QCOW2), 'qcow2', null],
    ['a raw image with the header of a qcow2', question('a.raw', QCOW2), 'raw', /--file-format qcow2/],
    ['one that would read other files', question('a.img', BACKED), 'raw', /--file-format qcow2/],
    ['a device with such a header', question('/dev/x', BACKED, { isBlockDevice: true }), 'raw', /read as raw/],
    ['what was raw before', question('a', QCOW2, { before: 'raw' }), 'raw', /as before/],
    ['a name that promises more', question('a.qcow2', RAW), 'raw', /is no qcow2/],
    ['a fixed VHD', question('a.VHD', FIXED), 'vpc', null],
    ['the footer of a VHD at the end of something', question('a', FIXED), 'raw', null],
    ['what the user says', question('a.raw', BACKED, { asked: 'qcow2' }), 'qcow2', null],
    ['raw, if the user says so', question('a.qcow2', BACKED, { asked: 'raw' }), 'raw', null],
    ['a fixed VHD of any name, told to', question('a', FIXED, { asked: 'vpc' }), 'vpc', null],
  ];
  for (const [what, asked, format, warning] of chosen) {
    it(`of ${what} is ${format}`, () => {
      const choice = chooseFormat(asked);
      assert.equal(choice.format, format);
      if (warning === null) assert.equal(choice.warning, null);
      else assert.match(choice.warning ?? '', warning);
    });
  }

  const refused: readonly (readonly [string, FormatQuestion, RegExp])[] = [
    ['a qcow2 with a backing file', question('a.qcow2', BACKED), /--file-format qcow2/],
    ['one of no telling name', question('a', BACKED), /--file-format raw/],
    ['a differencing VHD', question('a.vhd', DIFFERENCING), /merge it/],
    ['a differencing VHD, even told to', question('a.vhd', DIFFERENCING, { asked: 'vpc' }), /merge it/],
    ['what is not what the user says', question('a.qcow2', RAW, { asked: 'qcow2' }), /--file-format raw/],
    ['one format for another', question('a.vdi', QCOW2, { asked: 'vdi' }), /--file-format qcow2/],
  ];
  for (const [what, asked, cure] of refused) {
    it(`of ${what} must be said`, () => {
      assert.throws(() => chooseFormat(asked), { code: 'VB_IMAGE_FORMAT', cure });
    });
  }

  it('goes by the names that people use', () => {
    assert.deepEqual(['raw', 'vhd', 'vpc', 'qcow2'].map(parseFormat), ['raw', 'vpc', 'vpc', 'qcow2']);
    for (const name of ['QCOW2', 'luks', '', 'toString']) {
      assert.throws(() => parseFormat(name), { code: 'VB_PLUGIN_OPTION' });
    }
  });
});

describe('readImageHeader', () => {
  const head = (at: number, text: string, length = 65_536): Buffer => {
    const bytes = Buffer.alloc(length);
    bytes.write(text, at, 'latin1');
    return bytes;
  };
  const qcow2 = (change: (header: Buffer) => void): Buffer => {
    const bytes = head(0, 'QFI\xfb');
    bytes.writeUInt32BE(3, 4);
    change(bytes);
    return bytes;
  };
  const vmdk = (change: (header: Buffer) => void): Buffer => {
    const bytes = head(0, 'KDMV');
    bytes.writeUInt32LE(100, 12);
    bytes.writeUInt32LE(1, 28);
    bytes.writeUInt32LE(20, 36);
    bytes.write('# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType="monolithicSparse"\n', 512);
    change(bytes);
    return bytes;
  };
  const vhd = (type: number): Buffer => {
    const bytes = head(0, 'conectix', 512);
    bytes.writeUInt32BE(type, 60);
    return bytes;
  };
  const nothing = Buffer.alloc(0);

  const table: readonly (readonly [string, Buffer, Buffer, ImageHeader])[] = [
    ['an empty file', nothing, nothing, RAW],
    ['a qcow2', qcow2(() => undefined), nothing, QCOW2],
    ['a backing file', qcow2((bytes) => bytes.writeUInt32BE(1, 8)), nothing, BACKED],
    ['a data file', qcow2((bytes) => bytes.writeUInt8(4, 79)), nothing, { format: 'qcow2', needs: 'a data file' }],
    ['version 2 has no features', qcow2((b) => b.writeUInt32BE(2, 4) + b.writeUInt8(4, 79)), nothing, QCOW2],
    ['encryption', qcow2((bytes) => bytes.writeUInt32BE(2, 32)), nothing, { format: 'qcow2', needs: 'a key' }],
    ['the first version of qcow', qcow2((bytes) => bytes.writeUInt32BE(1, 4)), nothing, RAW],
    ['half a header', head(0, 'QFI\xfb', 60), nothing, RAW],
    ['a dynamic VHD', vhd(3), vhd(3), { format: 'vpc', needs: null }],
    ['a fixed VHD', Buffer.alloc(512), vhd(2), FIXED],
    ['VHDX', head(0, 'vhdxfile'), nothing, { format: 'vhdx', needs: null }],
    ['a VMDK', vmdk(() => undefined), nothing, { format: 'vmdk', needs: null }],
    [
      'a VMDK whose text says where the data is',
      vmdk((bytes) => bytes.writeUInt32LE(0, 12)),
      nothing,
      { format: 'vmdk', needs: 'the files that its text names' },
    ],
    [
      'a VMDK with a parent',
      vmdk((bytes) => bytes.write('parentFileNameHint="/etc/shadow"', 8192)),
      nothing,
      { format: 'vmdk', needs: 'a parent' },
    ],
    [
      'a VMDK with a parent of another number',
      vmdk((bytes) => bytes.write('parentCID=12345678', 542)),
      nothing,
      { format: 'vmdk', needs: 'a parent' },
    ],
    [
      'a VMDK with its text far away',
      vmdk((bytes) => bytes.fill(0xff, 28, 44)),
      nothing,
      { format: 'vmdk', needs: 'a descriptor further on' },
    ],
    [
      'a text',
      Buffer.from('# Disk DescriptorFile\nRW 1 FLAT "/etc/shadow" 0'),
      nothing,
      { format: 'vmdk', needs: 'the files that its text names' },
    ],
  ];
  for (const [what, first, last, expected] of table) {
    it(`knows ${what}`, () => assert.deepEqual(readImageHeader(first, last), expected));
  }

  it('knows a differencing VHD', () => {
    const { needs, unreadable } = readImageHeader(vhd(4), vhd(4));
    assert.ok(needs !== null && unreadable === true);
  });

  it('knows VDI', () => {
    const bytes = Buffer.alloc(512);
    bytes.writeUInt32LE(0xbeda107f, 64);
    assert.equal(readImageHeader(bytes, nothing).format, 'vdi');
  });

  it('survives any bytes', () => {
    const magic = fc.constantFrom('QFI\xfb', 'KDMV', 'conectix', 'vhdxfile', 'COWD', '# Disk DescriptorFile', '');
    const rest = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(magic, rest, rest, (text, one, other) => {
        readImageHeader(Buffer.concat([Buffer.from(text, 'latin1'), one]), other);
      }),
    );
  });
});
