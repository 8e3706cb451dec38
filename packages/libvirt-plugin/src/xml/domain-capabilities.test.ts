import assert from 'node:assert/strict';
import { canBackUp } from './domain-capabilities.js';

describe('canBackUp', () => {
  for (const [xml, answer] of [
    ["<domainCapabilities><features><backup supported='yes'/></features></domainCapabilities>", true],
    ["<domainCapabilities><features><backup supported='no'/></features></domainCapabilities>", false],
    ['<domainCapabilities><features><backup/></features></domainCapabilities>', false],
    ["<domainCapabilities><features><gic supported='yes'/></features></domainCapabilities>", false],
    ["<domainCapabilities><devices><backup supported='yes'/></devices></domainCapabilities>", false],
    ["<domainCapabilities><!-- <features><backup supported='yes'/></features> --></domainCapabilities>", false],
  ] as const) {
    it(`says ${answer} to ${xml}`, () => assert.equal(canBackUp(xml), answer));
  }

  for (const text of ['', ' ', 'no XML', '<domainCapabilities>', '<a></b>']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => canBackUp(text), { code: 'VB_LIBVIRT_XML' }));
  }
});
