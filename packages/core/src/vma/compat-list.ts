import type { VmaDevice, VmaHeader } from './archive.js';
import { isVmstate } from './ledger.js';

/** Proxmox looks at devices with these ids only. */
const LAST_LISTED_DEVICE = 254;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** The lines of `vma list` of Proxmox, which qmrestore parses; names as they are, the time as ctime(3) writes it. */
export function compatListLines({ configs, devices, ctime }: VmaHeader): string[] {
  return [
    ...configs.map(({ name, content }) => `CFG: size: ${content.length} name: ${name}`),
    ...devices.filter(({ id }) => id <= LAST_LISTED_DEVICE).map(deviceLine),
    `CTIME: ${ctimeText(new Date(ctime * 1000))}`,
  ];
}

const deviceLine = (device: VmaDevice): string =>
  isVmstate(device)
    ? `VMSTATE: dev_id=${device.id} memory: ${device.size}`
    : `DEV: dev_id=${device.id} size: ${device.size} devname: ${device.name}`;

/** ctime(3), without the line break: local time, `Fri Nov 20 10:16:58 2026`. */
function ctimeText(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');
  const day = String(time.getDate()).padStart(2);
  return `${DAYS[time.getDay()]} ${MONTHS[time.getMonth()]} ${day} ${clock} ${time.getFullYear()}`;
}
