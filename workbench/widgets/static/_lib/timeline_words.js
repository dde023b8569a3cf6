// @ts-check
// What a timeline says in words: times, events, counts. Pure; `scene` is what timeline.py describes.
import { formatDuration, formatInteger, formatTime } from "./format.js";
import { ERROR_SEVERITY, MOMENT, ORPHANED, OUT_OF_ORDER, UNFINISHED } from "./lod.js";
import { plainText } from "./text.js";

/** A place on the axis. @param {any} scene @param {number} t @param {boolean} absolute time of day instead of time since the start */
export function placeWords(scene, t, absolute) {
  if (scene.unit === "steps") return `step ${Math.floor(t)}`;
  return absolute ? formatTime(scene.origin + t) : `+${formatDuration(t)}`;
}

/** An event: name, lane, place, length, severity; null where there is nothing to say. @param {any} scene @param {any} item @param {boolean} absolute */
export function eventWords(scene, item, absolute) {
  const lane = scene.lanes.find(([, first, rows]) => item.track >= first && item.track < first + rows)?.[0] ?? null;
  const none = item.flags & MOMENT || scene.unit === "steps";
  const length = item.flags & UNFINISHED ? "unfinished" : none ? null : formatDuration(item.end - item.start);
  const severity = scene.severities[item.severity][0];
  const mark = item.flags & ORPHANED ? "orphaned" : item.flags & OUT_OF_ORDER ? "out of order" : null;
  return { name: plainText(item.label), lane, place: placeWords(scene, item.start, absolute), length, severity: severity === "info" ? null : severity, mark };
}

/** What an event's place in the tree lacks, with its sign; null where nothing does. @param {Record<string, string>} fields */
export function markWords(fields) {
  if (fields.mark === "orphaned") {
    const parent = fields.parent_span_id && fields.event_type !== "tool_result" ? `parent ${fields.parent_span_id}` : "parent";
    const what = fields.event_type === "tool_result" ? "the call it answers, or its parent," : `its ${parent}`;
    return ["?", `orphaned: ${what} is not in any file read so far`];
  }
  if (fields.mark === "unfinished") return ["…", "unfinished: it began, and no end of it was read so far"];
  return fields.mark === "out_of_order" ? ["⇅", "out of order: its source wrote it elsewhere; it stands where its time says"] : null;
}

/** The whole run. @param {any} scene */
export function sceneWords(scene) {
  const errors = scene.severities.slice(ERROR_SEVERITY).reduce((/** @type {number} */ sum, /** @type {any} */ [, n]) => sum + n, 0);
  return [
    `${formatInteger(scene.n)} ${scene.n === 1 ? "event" : "events"}`,
    scene.unit === "steps" ? `${formatInteger(scene.span)} steps (no times in the source)` : formatDuration(scene.span),
    errors ? `▼ ${formatInteger(errors)} with errors` : null,
    ...["orphaned", "unfinished", "out_of_order"].map((name) => (scene.marks?.[name] ? `${formatInteger(scene.marks[name])} ${name.replaceAll("_", " ")}` : null)),
    scene.estimated ? `${formatInteger(scene.estimated)} without a time, placed at the event before` : null,
  ].filter(Boolean).join(" · ");
}

/** What is in view. @param {any} scene @param {[number, number]} view @param {boolean} absolute */
export function viewWords(scene, view, absolute) {
  const [low, high] = view.map((t) => {
    const at = Math.min(Math.max(0, t), scene.span);
    return scene.unit === "steps" ? String(Math.floor(at)) : absolute ? formatTime(scene.origin + at, true) : formatDuration(at);
  });
  return `in view: ${low} … ${high}${absolute && scene.unit === "ms" ? " UTC" : ""}`;
}

/**
 * Why there is nothing to step to.
 * @param {number} direction @param {boolean} matches among the matches of a search @param {boolean} isPart a saved page has the first events only
 */
export function stepWords(direction, matches, isPart) {
  const further = direction > 0;
  if (isPart && further) return matches ? "no further match among the events saved here" : "no further event is saved here";
  if (matches) return "no further match";
  return further ? "this is the last event" : "this is the first event";
}
