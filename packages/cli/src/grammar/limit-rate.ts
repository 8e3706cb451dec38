import { InvalidArgumentError, Option } from 'commander';
import { parseRate, RATE_SYNTAX } from '../limit-rate.js';

/** `--limit-rate`, of every command that copies disks. */
export const limitRate = (): Option =>
  new Option('--limit-rate <rate>', `no faster than so many ${RATE_SYNTAX}`).argParser((text) => {
    const rate = parseRate(text);
    if (rate === undefined) throw new InvalidArgumentError(`It is a number of ${RATE_SYNTAX}.`);
    return rate;
  });
