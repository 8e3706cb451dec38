import { stringOf } from '../model/coerce.js';
import { XapiFailure } from '../rpc/call.js';
import { type Methods, VOID } from './method.js';

/** The two purposes that exclude each other in the whole pool. */
const OPPOSITES: ReadonlyMap<string, string> = new Map([
  ['nbd', 'insecure_nbd'],
  ['insecure_nbd', 'nbd'],
]);

export const NETWORK_METHODS: Methods = {
  'network.add_purpose': {
    params: 2,
    run: ({ state: { db } }, [self, value]) => {
      const network = db.get('network', stringOf('self', self));
      const purpose = stringOf('value', value);
      const opposite = OPPOSITES.get(purpose) ?? '';
      if (db.all('network').some((other) => other.list('purpose').includes(opposite))) {
        throw new XapiFailure('NETWORK_INCOMPATIBLE_PURPOSES', purpose, opposite);
      }
      const present = network.list('purpose');
      if (!present.includes(purpose)) db.update(network, { purpose: [...present, purpose] });
      return VOID;
    },
  },
  'network.remove_purpose': {
    params: 2,
    run: ({ state: { db } }, [self, value]) => {
      const network = db.get('network', stringOf('self', self));
      db.update(network, { purpose: network.list('purpose').filter((purpose) => purpose !== value) });
      return VOID;
    },
  },
  'host.get_server_certificate': {
    params: 1,
    run: ({ state }, [self]) => {
      state.db.get('host', stringOf('host', self));
      return state.certificate;
    },
  },
};
