// Tasks of a scripted server: the core feature of 2025-11-25, or the extension of 2026-07-28. A
// task is done when it was looked at twice, or when its result is waited for.
import { META, TASKS_EXTENSION, isModern } from '../lib/revisions.mjs';
import { RpcError } from './call.mjs';

const POLL_MS = 20;
const TTL_MS = 60000;

export class Tasks {
  #tasks = new Map();
  #next = 0;

  constructor(server) {
    this.server = server;
    this.modern = isModern(server.revision);
  }

  start(call, { label }) {
    const result = { content: [{ type: 'text', text: `worked ${label}` }] };
    if (this.modern && !call.meta[META.capabilities]?.extensions?.[TASKS_EXTENSION]) return result;
    if (!this.modern && !call.params.task)
      throw new RpcError(-32601, 'this tool runs only as a task');
    const id = `${this.server.name}-task-${(this.#next += 1)}`;
    const at = new Date().toISOString();
    const task = { id, label, status: 'working', at, looks: 0, result };
    this.#tasks.set(id, task);
    this.server.tasksSeen.push(label);
    return this.modern ? { resultType: 'task', ...this.#show(task) } : { task: this.#show(task) };
  }

  #show({ id, status, at }) {
    const times = this.modern
      ? { ttlMs: TTL_MS, pollIntervalMs: POLL_MS }
      : { ttl: TTL_MS, pollInterval: POLL_MS };
    return { taskId: id, status, createdAt: at, lastUpdatedAt: at, ...times };
  }

  #find(params) {
    const task = this.#tasks.get(params?.taskId);
    if (!task) throw new RpcError(-32602, 'no such task');
    return task;
  }

  #complete(task) {
    if (task.status === 'working') task.status = 'completed';
  }

  // Answers tasks/*; undefined where the revision has no such method.
  answer(method, params) {
    if (method === 'tasks/get') {
      const task = this.#find(params);
      if ((task.looks += 1) >= 2) this.#complete(task);
      const done = this.modern && task.status === 'completed' ? { result: task.result } : {};
      return { ...this.#show(task), ...done };
    }
    if (method === 'tasks/cancel') {
      const task = this.#find(params);
      if (!this.modern && task.status !== 'working') throw new RpcError(-32602, 'it has ended');
      if (task.status === 'working') {
        task.status = 'cancelled';
        this.server.cancelled.push(task.label);
      }
      return this.modern ? {} : this.#show(task);
    }
    if (method === 'tasks/update' && this.modern) {
      this.#find(params);
      return {};
    }
    if (this.modern) return undefined;
    if (method === 'tasks/list')
      return { tasks: [...this.#tasks.values()].map((t) => this.#show(t)) };
    if (method !== 'tasks/result') return undefined;
    const task = this.#find(params);
    if (task.status === 'cancelled') throw new RpcError(-32602, 'the task was cancelled');
    this.#complete(task);
    const related = { 'io.modelcontextprotocol/related-task': { taskId: task.id } };
    return { ...task.result, _meta: related };
  }
}
