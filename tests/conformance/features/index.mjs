// Every feature of the table, in its order. run(cell) resolves with 'works', 'reduced' (works with
// what the older of the two revisions has) or 'refused', and rejects if it is broken.
import { BASICS } from './basics.mjs';
import { EVENTS } from './events.mjs';
import { QUESTIONS } from './questions.mjs';
import { TASKS } from './tasks.mjs';

export const FEATURES = [...BASICS, ...EVENTS, ...QUESTIONS, ...TASKS].map((feature) => ({
  title: feature.id,
  ...feature,
}));

// The dozen that every pair of transports is tried with.
const DOZEN = new Set([
  'list',
  'call',
  'resource',
  'prompt',
  'completion',
  'progress',
  'cancel',
  'log',
  'list_changed',
  'subscription',
  'elicitation_form',
  'sampling',
]);
export const TRANSPORT_FEATURES = FEATURES.filter(({ id }) => DOZEN.has(id));
