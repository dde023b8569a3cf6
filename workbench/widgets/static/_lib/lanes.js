// @ts-check
// Where lanes and their rows (tracks) stand on the canvas, and what is under the pointer. Pure.

const GAP = 3; // above and below the rows of a lane
const HEIGHTS = [20, 18, 16, 14, 12, 10, 8, 7, 6];

/**
 * @typedef {{ name: string, first: number, rows: number, n: number, errors: number, y: number, h: number }} Lane
 * @typedef {{ lanes: Lane[], tops: Float64Array, row: number, height: number }} Layout
 */

/**
 * Rows as high as the room allows, never lower than 6 px; a lane is never lower than its label.
 * @param {[string, number, number, number, number][]} lanes name, first track, rows, events, errors
 * @param {number} room px
 * @returns {Layout}
 */
export function layLanes(lanes, room) {
  const least = 18;
  const total = (/** @type {number} */ h) => lanes.reduce((sum, lane) => sum + Math.max(least, lane[2] * h + 2 * GAP), 0);
  const row = HEIGHTS.find((h) => total(h) <= room) ?? HEIGHTS[HEIGHTS.length - 1];
  const tracks = lanes.reduce((most, lane) => Math.max(most, lane[1] + lane[2]), 0);
  const tops = new Float64Array(tracks);
  let y = 0;
  const placed = lanes.map(([name, first, rows, n, errors]) => {
    const h = Math.max(least, rows * row + 2 * GAP);
    const inset = (h - rows * row) / 2;
    for (let i = 0; i < rows; i++) tops[first + i] = Math.round(y + inset + i * row);
    const lane = { name, first, rows, n, errors, y, h };
    y += h;
    return lane;
  });
  return { lanes: placed, tops, row, height: y };
}

/** Index of the lane at a height, -1 for none. @param {Layout} layout @param {number} y */
export function laneAt(layout, y) {
  return layout.lanes.findIndex((lane) => y >= lane.y && y < lane.y + lane.h);
}

/** The track at a height, -1 between rows. @param {Layout} layout @param {number} y */
export function trackAt(layout, y) {
  const lane = layout.lanes[laneAt(layout, y)];
  if (!lane) return -1;
  const row = Math.floor((y - layout.tops[lane.first]) / layout.row);
  return row >= 0 && row < lane.rows ? lane.first + row : -1;
}

/** @param {Layout} layout @param {number} track */
export function laneOfTrack(layout, track) {
  return layout.lanes.findIndex((lane) => track >= lane.first && track < lane.first + lane.rows);
}
