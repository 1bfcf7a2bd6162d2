//! The pipeline, stage by stage, through its public doors.
