import { createRequire } from 'node:module';
import { z } from 'zod';

const PackageSchema = z.object({ version: z.string() });

/** Of this package: sessions on the host carry it, so that an administrator sees whose they are. */
export const VERSION: string = PackageSchema.parse(createRequire(import.meta.url)('../package.json')).version;
