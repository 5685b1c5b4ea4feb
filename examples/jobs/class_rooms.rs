//! A space for each class of a spreadsheet: with its pupils, and the teacher as an owner. It can be
//! run again, as after the lost connection of a run before: nothing is made twice.

use google_chat::{
    Client, CreateSpaceRequest, Error, Membership, Space,
    proto::google::chat::v1::{CreateMembershipRequest, UpdateMembershipRequest, membership::MembershipRole},
};
use jobs_example::{Result, There};

const CLASSES: &str = include_str!("classes.csv");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    for space in run(&There::of_environment().await?).await? {
        println!("{}: {}", space.name, space.display_name);
    }
    Ok(())
}

/// Makes the class rooms, and gives them.
pub(crate) async fn run(there: &There) -> Result<Vec<Space>> {
    let school = there.person("office@example.com")?;
    let mut rooms = Vec::new();
    for row in CLASSES.lines().skip(1) {
        let [class, teacher, pupils] = row.split(',').collect::<Vec<_>>()[..] else {
            return Err(format!("{row}: expected class, teacher and pupils").into());
        };
        // With the same request id, the same space is the answer.
        let request = CreateSpaceRequest { request_id: format!("class-{class}"), ..Space::named(class).into() };
        let room = school.create_space(request).await?;
        for pupil in pupils.split_whitespace() {
            add(&school, &room.name, pupil).await?;
        }
        add(&school, &room.name, teacher).await?;
        let mut membership = Membership { name: format!("{}/members/{teacher}", room.name), ..Membership::default() };
        membership.set_role(MembershipRole::RoleManager);
        school.update_membership(UpdateMembershipRequest::of(membership, ["role"])).await?;
        rooms.push(room);
    }
    Ok(rooms)
}

/// Adds a member, unless it is one already.
async fn add(chat: &Client, space: &str, email: &str) -> std::result::Result<(), Error> {
    match chat.create_membership(CreateMembershipRequest::of(space, Membership::person(email))).await {
        Err(error) if !error.is_already_exists() => Err(error),
        _ => Ok(()),
    }
}
