/** In the place of pino's transport: the log is written by the thread that has something to say (`src/log.ts`). */
module.exports = class {
  constructor() {
    throw new Error('the log is not written from another thread');
  }
};
