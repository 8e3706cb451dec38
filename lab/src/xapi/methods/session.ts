import { stringOf } from '../model/coerce.js';
import { type Methods, VOID } from './method.js';

/** Session methods that need a session; login stands in the dispatcher. */
export const SESSION_METHODS: Methods = {
  'session.logout': {
    params: 0,
    run: ({ state, session }) => {
      state.sessions.close(session.ref);
      return VOID;
    },
  },
  'session.get_uuid': {
    params: 1,
    run: ({ state }, [self]) => state.sessions.get(stringOf('self', self)).uuid,
  },
  'session.get_this_host': {
    params: 1,
    run: ({ state }, [self]) => {
      state.sessions.get(stringOf('self', self));
      return state.master.ref;
    },
  },
  'session.get_this_user': {
    params: 1,
    run: ({ state }, [self]) => state.sessions.get(stringOf('self', self)).user,
  },
  'session.get_originator': {
    params: 1,
    run: ({ state }, [self]) => state.sessions.get(stringOf('self', self)).originator,
  },
};
