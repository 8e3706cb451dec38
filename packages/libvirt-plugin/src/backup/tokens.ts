import type { InjectionToken } from 'tsyringe';
import type { ExportOpener } from './context.js';
import type { ImageTools } from './offline/image-tools.js';

/** Opens the exports of a backup job. */
export const ExportOpenerToken: InjectionToken<ExportOpener> = Symbol('ExportOpener');

/** Reads and changes the images of domains that are off. */
export const ImageToolsToken: InjectionToken<ImageTools> = Symbol('ImageTools');
