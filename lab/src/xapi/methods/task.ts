import { stringOf } from '../model/coerce.js';
import { XapiFailure } from '../rpc/call.js';
import { type Methods, VOID } from './method.js';

export const TASK_METHODS: Methods = {
  'task.create': {
    params: 2,
    run: ({ state }, [label, description]) =>
      state.tasks.create(stringOf('label', label), stringOf('description', description)).ref,
  },
  'task.cancel': {
    params: 1,
    run: ({ state }, [self]) => {
      const task = state.db.get('task', stringOf('task', self));
      if (!state.tasks.isPending(task)) throw new XapiFailure('OPERATION_NOT_ALLOWED', 'the task is not pending');
      state.tasks.cancel(task);
      return VOID;
    },
  },
  'task.destroy': {
    params: 1,
    run: ({ state }, [self]) => {
      state.db.remove(state.db.get('task', stringOf('self', self)));
      return VOID;
    },
  },
  'task.set_status': {
    params: 2,
    run: ({ state }, [self, status]) => {
      const task = state.db.get('task', stringOf('self', self));
      if (status === 'success') state.tasks.succeed(task, '');
      else if (status === 'cancelled') state.tasks.cancel(task);
      else if (status === 'failure') state.tasks.fail(task, new XapiFailure('INTERNAL_ERROR', 'set by the client'));
      return VOID;
    },
  },
  'message.destroy': {
    params: 1,
    run: ({ state }, [self]) => {
      state.db.remove(state.db.get('message', stringOf('self', self)));
      return VOID;
    },
  },
};
