// A client on @grpc/grpc-js with the typed package, as a plain Node sibling writes one.
import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import {
  call,
  channelOptions,
  CreateWorkoutRequest,
  ExerciseServiceClient,
  ExportSessionsRequest,
  fromDate,
  GetExerciseRequest,
  GetSessionRequest,
  ListSessionsRequest,
  LogSessionRequest,
  Session,
  SessionServiceClient,
  SessionState,
  toDate,
  UpdateWorkoutRequest,
  WorkoutServiceClient,
} from "@calisthenics/training-client";
import { credentials, type Metadata } from "@grpc/grpc-js";

import { address, athlete, caller, digest, refused, requestId, stranger } from "./common.ts";

const plain = credentials.createInsecure();
const exercises = new ExerciseServiceClient(address, plain, channelOptions);
const workouts = new WorkoutServiceClient(address, plain, channelOptions);
const sessions = new SessionServiceClient(address, plain, channelOptions);
const me = caller(athlete);

const pullUp = await call(
  exercises,
  "getExercise",
  GetExerciseRequest.fromPartial({ exercise: "pull-up" }),
);

function draft(hour: number): Session {
  return Session.fromPartial({
    startTime: { ...fromDate(new Date(Date.UTC(2026, 2, 2, hour))), nanos: 123_456_000 },
    timeZone: "Europe/Berlin",
    durationSeconds: 0,
    exercises: [
      {
        exerciseId: pullUp.id,
        sets: [{ actualReps: 6, effort: { $case: "rpe", value: 8 } }],
      },
    ],
  });
}

async function log() {
  const request = LogSessionRequest.fromPartial({ session: draft(8), requestId: randomUUID() });
  const first = await call(sessions, "logSession", request, me);
  const again = await call(sessions, "logSession", request, me);
  const effort = first.exercises[0].sets[0].effort;
  return {
    id: first.id,
    sameAnswer: isDeepStrictEqual(first, again),
    state: SessionState[first.state],
    start: toDate(first.startTime!).toISOString(),
    nanos: first.startTime!.nanos,
    localDate: [first.localDate!.year, first.localDate!.month, first.localDate!.day],
    durationSeconds: first.durationSeconds,
    rpeIsAbsent: first.sessionRpe === undefined,
    effort: [effort?.$case, effort?.value],
  };
}

async function pages() {
  const sizes: number[] = [];
  const ids = new Set<string>();
  let pageToken = "";
  do {
    const request = ListSessionsRequest.fromPartial({ pageSize: 2, pageToken });
    const page = await call(sessions, "listSessions", request, me);
    sizes.push(page.sessions.length);
    page.sessions.forEach((session) => ids.add(session.id));
    pageToken = page.nextPageToken;
  } while (pageToken);
  return { sizes, distinct: ids.size };
}

async function exported() {
  const ids: string[] = [];
  let summary;
  for await (const message of sessions.exportSessions(ExportSessionsRequest.create(), me)) {
    ids.push(...message.sessions.map((session: Session) => session.id));
    summary = message.summary ?? summary;
  }
  return {
    count: ids.length,
    summaryCount: summary?.sessionCount,
    digestMatches: summary?.idsSha256 === digest(ids),
  };
}

async function update() {
  const workout = { displayName: "Pull day", description: "Before" };
  const created = await call(
    workouts,
    "createWorkout",
    CreateWorkoutRequest.fromPartial({ workout }),
    me,
  );
  const request = UpdateWorkoutRequest.fromPartial({
    workoutId: created.id,
    workout: { displayName: "Not in the mask", description: "After", etag: created.etag },
    updateMask: ["description"],
  });
  const { displayName, description, revision } = await call(workouts, "updateWorkout", request, me);
  return { displayName, description, revision };
}

function trailing(): Promise<Metadata> {
  const request = ListSessionsRequest.create();
  return new Promise((resolve, reject) => {
    sessions
      .listSessions(request, me, (error) => error && reject(error))
      .on("status", (status) => resolve(status.metadata));
  });
}

const logged = await log();
for (const hour of [10, 12, 14, 16]) {
  const request = LogSessionRequest.fromPartial({ session: draft(hour) });
  await call(sessions, "logSession", request, me);
}
const nowhere = { ...draft(18), timeZone: "" };
const own = GetSessionRequest.fromPartial({ sessionId: logged.id });
const everything = ListSessionsRequest.create();

const results = {
  logged,
  pages: await pages(),
  exported: await exported(),
  update: await update(),
  invalid: await refused(
    call(sessions, "logSession", LogSessionRequest.fromPartial({ session: nowhere }), me),
  ),
  foreign: await refused(call(sessions, "getSession", own, caller(stranger))),
  deadline: await refused(call(sessions, "listSessions", everything, me, { deadline: new Date() })),
  requestIdComesBack: (await trailing()).get("x-request-id")[0] === requestId,
};
console.log(JSON.stringify(results));
[exercises, workouts, sessions].forEach((client) => client.close());
